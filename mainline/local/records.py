"""Records of the processes of one root: a pid counts only together with the moment its process started."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import IO, Any

from mainline.local.layout import Layout, LocalError, mapping_at, write_json

AGENT, GATEWAY, SERVER, STARTING = "agent", "gateway", "server", "starting"
_KEPT_LOG = 256 * 1024
_EXITED: dict[int, int] = {}


@dataclass(frozen=True, slots=True)
class Record:
    """One process that this root started."""

    name: str
    kind: str
    pid: int
    started: str
    port: int | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def alive(self) -> bool:
        found = _look(self.pid)
        if found is None or found.started != self.started:
            return False
        return _still_ends(self.pid) if found.ended else True

    def signal(self, number: int) -> None:
        """Reaches this process or none: a pid that was given to another program is left alone."""
        if self.alive():
            _kill(self.pid, number)


def write_record(layout: Layout, record: Record) -> None:
    flat = {
        "pid": record.pid,
        "started": record.started,
        "port": record.port,
        "kind": record.kind,
        **record.details,
    }
    write_json(layout.record(record.name), flat)


def read_record(layout: Layout, name: str) -> Record | None:
    """The record, or None where there is none or it is not one."""
    known = mapping_at(layout.record(name))
    if known is None or not isinstance(known.get("pid"), int) or not isinstance(known.get("started"), str):
        return None
    pid, started, port, kind = (
        known.pop("pid"),
        known.pop("started"),
        known.pop("port", None),
        known.pop("kind", ""),
    )
    return Record(name, kind, pid, started, port, known)


def read_records(layout: Layout) -> list[Record]:
    names = sorted(path.stem for path in layout.run.glob("*.json") if not path.name.startswith("."))
    return [record for name in names if (record := read_record(layout, name))]


def remove_record(layout: Layout, name: str) -> None:
    layout.record(name).unlink(missing_ok=True)


def turn(layout: Layout, name: str) -> IO[str]:
    """Waits for a lock of this root and holds it until it is closed."""
    lock = layout.lock(name).open("a")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def hold(layout: Layout, name: str) -> IO[str]:
    """The lock that makes a second process of this kind impossible; it ends with the process."""
    lock = layout.lock(name).open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        record = read_record(layout, name)
        who = f" (pid {record.pid})" if record else ""
        raise LocalError(f"another {name}{who} runs for {layout.root}; stop it first") from error
    return lock


def start_time(pid: int) -> str | None:
    """When the process of this pid started, in ticks since a boot that is named too; None for a dead one."""
    found = _look(pid)
    return found.started if found and not found.ended else None


@dataclass(frozen=True, slots=True)
class _Process:
    """`ended`: only its parent has not asked for its exit code yet."""

    started: str
    ended: bool


def _look(pid: int) -> _Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _look_with_ps(pid, int(time.monotonic()))
    except (ProcessLookupError, PermissionError):
        return None
    # The program's name, in parentheses, may hold anything; the state and the rest follow the last one.
    fields = stat.rpartition(")")[2].split()
    return _Process(f"{fields[19]}@{_boot()}", fields[0] in "ZX")


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return "boot"


@lru_cache(maxsize=64)
def _look_with_ps(pid: int, _second: int) -> _Process | None:
    """For systems without /proc; a program is started for it, so it is asked at most once a second."""
    done = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = done.stdout.strip().partition(" ")
    return _Process(started.strip(), "Z" in state) if started else None


def exit_code(pid: int) -> int | None:
    """The exit code (negative: the signal) of a child that ended; None while it runs or is nobody's child here."""
    _still_ends(pid)
    return _EXITED.get(pid)


def _still_ends(pid: int) -> bool:
    """Is it a child whose end is not complete? A leader looks dead while threads of its program still end."""
    if pid in _EXITED:
        return False
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return False
    if ended:
        _EXITED[pid] = os.waitstatus_to_exitcode(status)
    return not ended


def spawn(command: Sequence[str], log: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Start a process in a session of its own, its output appended to `log`; returns its pid and start time."""
    trim_log(log, _KEPT_LOG)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    try:
        pid = os.posix_spawnp(command[0], list(command), environment, file_actions=actions, setsid=True)
    except OSError as error:
        raise LocalError(
            f"{command[0]}: does not start ({error.strerror}); check the command in the runtime"
        ) from error
    _EXITED.pop(pid, None)
    found = _look(pid)
    return pid, found.started if found else "gone"


def spawn_module(layout: Layout, module: str, name: str, *arguments: str) -> Record:
    """Start one of our own programs; until it is up and has its own record, it has `<name>-starting-<pid>`."""
    for old in read_records(layout):
        if old.kind == STARTING and not old.alive():
            remove_record(layout, old.name)
    command = [sys.executable, "-m", module, str(layout.root), *arguments]
    # A start out of a Git hook must not make the agent look at the hook's repository.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    pid, started = spawn(command, layout.log(name), environment)
    record = Record(_starting(name, pid), STARTING, pid, started)
    write_record(layout, record)
    return record


def announce(layout: Layout, name: str, port: int | None = None) -> None:
    """This process is up: its record says so."""
    pid = os.getpid()
    write_record(layout, Record(name, name, pid, start_time(pid) or "", port))
    remove_record(layout, _starting(name, pid))


def _starting(name: str, pid: int) -> str:
    # By pid: of two that start at once, one ends at the lock, but it may reach the lock only after the other has gone.
    return f"{name}-{STARTING}-{pid}"


def trim_log(log: Path, limit: int) -> None:
    """Keep the newest `limit` bytes; a writer that appends goes on undisturbed."""
    try:
        size = log.stat().st_size
    except FileNotFoundError:
        return
    if size <= limit:
        return
    with log.open("r+b") as file:
        file.seek(size - limit // 2)
        rest = file.read()
        file.seek(0)
        file.write(rest.partition(b"\n")[2])
        file.truncate()


def last_line(log: Path) -> str:
    """The last line with words in it, at most 500 characters; empty for a silent process."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return ""
    return next((line.strip()[:500] for line in reversed(lines) if line.strip()), "")


def terminate(records: Iterable[Record], patience: float) -> list[str]:
    """SIGTERM to all, SIGKILL to who is left after `patience` seconds; names of those that were alive."""
    living = [record for record in records if record.alive()]
    for record in living:
        record.signal(signal.SIGTERM)
    _wait_gone(living, patience)
    for record in living:
        record.signal(signal.SIGKILL)
    _wait_gone(living, 5.0)
    return [record.name for record in living]


def _wait_gone(records: list[Record], patience: float) -> None:
    end = time.monotonic() + patience
    while time.monotonic() < end and any(record.alive() for record in records):
        time.sleep(0.01)


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it ended between the look and the signal, which is what was asked for
