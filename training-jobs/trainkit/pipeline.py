"""Run a job's DVC pipeline as one process group that never outlives us."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from trainkit.bytecode import scratch
from trainkit.errors import TrainError
from trainkit.job import Job
from trainkit.stage import PREFIX

NOISE = ("> ", "Generating lock file", "Updating lock file", "Use `dvc push`")
LOCK_WAIT = 60.0  # seconds
GRACE = 5.0  # seconds between asking a process group to end and ending it


def reproduce(job: Job, meanwhile: Callable[[], object], *stages: str) -> None:
    """`dvc repro` (up to `stages`) within the job's deadline, doing `meanwhile` beside it; its lines go to stderr."""
    began = time.monotonic()
    with alone(job.folder, LOCK_WAIT) as lock:
        child = _start(job, lock, stages)
        assert child.stdout is not None  # noqa: S101 - it is a pipe
        said = _Said(child.stdout)
        try:
            meanwhile()
            code = child.wait(timeout=max(0.0, job.deadline - (time.monotonic() - began)))
        except subprocess.TimeoutExpired:
            raise TrainError(
                f"{job.name} ran longer than its deadline of {job.deadline} s: raise it in job.yaml"
            ) from None
        finally:
            _end(child)
            said.wait()
    if code:
        raise TrainError(said.reason() or f"dvc repro failed with exit code {code}: {said.last}")


class _Said:
    """What the pipeline prints: echoed, but for the reason of a failure, which is told last and once."""

    def __init__(self, lines: IO[str]) -> None:
        self._reasons: list[str] = []
        self._errors: list[str] = []
        self.last = "it said nothing"
        self._lines = lines
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._lines:
            if line.startswith(PREFIX):
                self._reasons.append(line.removeprefix(PREFIX).strip())
            elif line.startswith("ERROR:"):
                self._errors.append(line.removeprefix("ERROR:").strip())
            elif line.strip() and not line.startswith(NOISE):
                self.last = line.strip()
                sys.stderr.write(line)
                sys.stderr.flush()

    def wait(self) -> None:
        self._thread.join(GRACE)
        if not self._thread.is_alive():
            self._lines.close()

    def reason(self) -> str:
        return next(iter(self._reasons or self._errors), "")


@contextmanager
def alone(folder: Path, wait: float) -> Iterator[int]:
    """A lock on the job's folder, waited for up to `wait` seconds.

    The pipeline inherits it: if we are killed, the next run waits until the stage that we left behind ends.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        _acquire(handle, folder, time.monotonic() + wait)
        yield handle
    finally:
        os.close(handle)


def _acquire(handle: int, folder: Path, until: float) -> None:
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise TrainError(
                    f"{folder} is being trained by another process: wait for it, or end it"
                ) from None
            time.sleep(0.1)


def _start(job: Job, lock: int, stages: Sequence[str]) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", *stages],
            cwd=job.folder,
            env=_environment(job.folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=[lock],
        )
    except OSError as error:
        raise TrainError(f"dvc cannot be started: {error.strerror}") from None


def _environment(folder: Path) -> dict[str, str]:
    """Stages find our Python; DVC tells nobody about us, and keeps its caches inside the repository."""
    binaries = str(Path(sys.executable).parent)
    found = dict(os.environ, PATH=f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}")
    found.update(DVC_NO_ANALYTICS="1", DVC_STUDIO_OFFLINE="1", PYTHONUNBUFFERED="1")
    found.setdefault("DVC_SITE_CACHE_DIR", str(scratch(folder) / "site"))
    if sys.pycache_prefix:
        found["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
        found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found


def _end(child: subprocess.Popen[str]) -> None:
    """End the child and whatever it started; quietly if all of them are gone."""
    _signal(child, signal.SIGTERM)
    try:
        child.wait(GRACE)
    except subprocess.TimeoutExpired:
        _signal(child, signal.SIGKILL)
        child.wait()
    _signal(child, signal.SIGKILL)


def _signal(child: subprocess.Popen[str], number: signal.Signals) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return
