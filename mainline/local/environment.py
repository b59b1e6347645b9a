"""Start, stop and ask the embedded environment of one root."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mainline.local import records
from mainline.local.keeper import start_gateway
from mainline.local.layout import Layout, LocalError, mapping_at
from mainline.local.objects import read_objects, write_objects
from mainline.local.probe import HOST
from mainline.local.records import AGENT, GATEWAY, Record

__all__ = ["Embedded", "LocalError"]

_START_LIMIT = 20.0
_AGENT_PATIENCE, _SERVER_PATIENCE = 5.0, 8.0
_POLL = 0.02
Status = dict[str, Any]


class Embedded:
    """The environment of `root`; keeps nothing in memory, so any number of these may look at one root."""

    def __init__(self, root: Path, env: str = "local") -> None:
        self.layout = Layout(root.resolve())
        self.env = env

    def start(self, port: int) -> None:
        """Start what does not run: gateway and agent. Port 0 takes a free one. Raises LocalError."""
        self.layout.prepare()
        with records.turn(self.layout, "change"):
            self._start(port)

    def _start(self, port: int) -> None:
        begun = []
        gateway = self._alive(GATEWAY)
        if gateway and port not in (0, gateway.port):
            raise LocalError(f"the gateway listens on port {gateway.port} already, not {port}; stop it first")
        if gateway is None:
            self._forget(GATEWAY)
            begun.append((GATEWAY, start_gateway(self.layout, port)))
        if self._alive(AGENT) is None:
            self._forget(AGENT)
            arguments = ("--env", self.env)
            begun.append(
                (AGENT, records.spawn_module(self.layout, "mainline.local.agent", AGENT, *arguments))
            )
        for name, pid in begun:
            self._await_process(name, pid)

    def stop(self) -> list[str]:
        """End everything that this root started, first who would start it again; names of what ran."""
        if not self.layout.run.is_dir():
            return []
        with records.turn(self.layout, "change"):
            return self._stop()

    def _stop(self) -> list[str]:
        known = {record.name: record for record in records.read_records(self.layout)}
        first = [known.pop(name) for name in (AGENT, GATEWAY) if name in known]
        stopped = records.terminate(first, _AGENT_PATIENCE)
        # The agent may have started one more server until it ended.
        servers = [record for record in records.read_records(self.layout) if record.kind == records.SERVER]
        stopped += records.terminate(servers, _SERVER_PATIENCE)
        for record in (*first, *known.values(), *servers):
            records.remove_record(self.layout, record.name)
        self._empty_endpoints()
        return stopped

    def running(self) -> dict[str, bool]:
        """Name -> is it alive; the agent and the gateway are always named."""
        found = {record.name: record.alive() for record in records.read_records(self.layout)}
        return {AGENT: False, GATEWAY: False, **found}

    def status(self) -> Status | None:
        """What the agent wrote last, None before it ever did."""
        return mapping_at(self.layout.status)

    @property
    def address(self) -> str | None:
        """The gateway's, or None while it does not run."""
        gateway = self._alive(GATEWAY)
        return f"http://{HOST}:{gateway.port}" if gateway else None

    def wait_synced(
        self, commit: str, timeout: float, on_progress: Callable[[Status], None] | None = None
    ) -> Status:
        """Wait until this commit, or one after it, is what runs; raises LocalError with the reason when it will not."""
        end = time.monotonic() + timeout
        shown: Status | None = None
        while True:
            status = self.status() or {}
            if on_progress and status != shown:
                on_progress(status)
                shown = status
            if self._alive(AGENT) is None:
                raise LocalError(f"the agent does not run, so {commit[:12]} is not synced; start it first")
            if self._synced(commit, status):
                return status
            _refuse_hopeless(commit, status)
            if time.monotonic() > end:
                raise LocalError(f"{commit[:12]} is not synced after {timeout:g} s: {_waits_for(status)}")
            time.sleep(_POLL)

    def _synced(self, commit: str, status: Status) -> bool:
        synced = status.get("commit")
        if synced == commit:
            return status.get("accepted") == commit or self._contains(status.get("accepted"), commit)
        return synced == status.get("accepted") and self._contains(synced, commit)

    def _contains(self, newer: str | None, older: str) -> bool:
        if not newer:
            return False
        command = ["git", "-C", str(self.layout.gitops), "merge-base", "--is-ancestor", older, newer]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def _alive(self, name: str) -> Record | None:
        record = records.read_record(self.layout, name)
        return record if record and record.alive() else None

    def _forget(self, name: str) -> None:
        """A record of a dead process; one that came alive in the meantime keeps its record."""
        if self._alive(name) is None:
            records.remove_record(self.layout, name)

    def _await_process(self, name: str, pid: int) -> None:
        end = time.monotonic() + _START_LIMIT
        while time.monotonic() < end:
            if self._alive(name):
                return
            if records.start_time(pid) is None or records.exit_code(pid) is not None:
                self._explain_death(name)
                return
            time.sleep(_POLL / 2)
        raise LocalError(f"the {name} is not up after {_START_LIMIT:g} s; see {self.layout.log(name)}")

    def _explain_death(self, name: str) -> None:
        # Somebody else may have been faster, and then ours ended at the lock.
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            if self._alive(name):
                return
            time.sleep(_POLL)
        words = records.last_line(self.layout.log(name)).removeprefix(f"{name}: ")
        raise LocalError(words or f"the {name} ended at once; see {self.layout.log(name)}")

    def _empty_endpoints(self) -> None:
        """Ports of ended servers may go to other programs, and a gateway must not ask those."""
        objects = read_objects(self.layout.objects)
        if objects.services:
            write_objects(self.layout.objects, type(objects)(objects.generation + 1, objects.routes, {}))


def _refuse_hopeless(commit: str, status: Status) -> None:
    if status.get("head") == commit and status.get("error"):
        raise LocalError(f"{commit[:12]} is refused: {status['error']}")
    if status.get("accepted") != commit:
        return
    for name, application in status.get("applications", {}).items():
        if application.get("health") == "Degraded":
            raise LocalError(f"{commit[:12]}: {name} is Degraded: {application.get('reason')}")


def _waits_for(status: Status) -> str:
    waiting = [
        f"{name}: {application.get('reason') or application.get('sync')}"
        for name, application in status.get("applications", {}).items()
        if application.get("sync") != "Synced" or application.get("health") != "Healthy"
    ]
    return "; ".join(waiting) or status.get("error") or "the agent has not seen it"
