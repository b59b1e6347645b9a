"""Start, stop and ask the embedded environment of one root."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mainline.local import records
from mainline.local.keeper import start_gateway
from mainline.local.layout import Layout, LocalError, mapping_at
from mainline.local.objects import read_objects, write_objects
from mainline.local.probe import HOST
from mainline.local.records import AGENT, GATEWAY, SERVER, STARTING, Record

__all__ = ["Embedded", "LocalError"]

_START_LIMIT = 20.0
_LOSER_PATIENCE = 1.0
_PATIENCE = 8.0
_POLL = 0.02
Status = dict[str, Any]


class Embedded:
    """The environment of `root`; knows only what lies there, so any number of these may look at one root."""

    def __init__(self, root: Path, env: str = "local") -> None:
        self.layout = Layout(root.resolve())
        self.env = env
        self._descent: dict[tuple[str, str], bool] = {}

    def start(self, port: int) -> None:
        """Start what does not run: gateway and agent. Port 0 takes a free one. Raises LocalError."""
        self.layout.prepare()
        with records.turn(self.layout, "change"):
            self._start(port)

    def _start(self, port: int) -> None:
        begun: list[Record] = []
        gateway = self._alive(GATEWAY)
        if gateway and port not in (0, gateway.port):
            raise LocalError(f"the gateway listens on port {gateway.port} already, not {port}; stop it first")
        if self._alive(AGENT) is None:
            self._forget_dead_endpoints()
        if gateway is None:
            begun.append(start_gateway(self.layout, port))
        if self._alive(AGENT) is None:
            begun.append(records.spawn_module(self.layout, "mainline.local.agent", AGENT, "--env", self.env))
        try:
            for process in begun:
                self._await_process(process)
        except LocalError:
            records.terminate(begun, _PATIENCE)
            raise

    def stop(self) -> list[str]:
        """End everything that this root started, first who would start it again; names of what ran."""
        if not self.layout.run.is_dir():
            return []
        with records.turn(self.layout, "change"):
            return self._stop()

    def _stop(self) -> list[str]:
        stopped = []
        # Who starts others goes first; the gateway goes before the servers that it still asks.
        for kinds in ((AGENT, STARTING), (GATEWAY, STARTING), (SERVER,)):
            found = [record for record in records.read_records(self.layout) if record.kind in kinds]
            stopped += [name.partition(f"-{STARTING}-")[0] for name in records.terminate(found, _PATIENCE)]
            for record in found:
                records.remove_record(self.layout, record.name)
        self._forget_dead_endpoints()
        return stopped

    def running(self) -> dict[str, bool]:
        """Name -> is it alive; the agent and the gateway are always named."""
        known = [record for record in records.read_records(self.layout) if record.kind != STARTING]
        found = {record.name: record.alive() for record in known}
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
            if self._decided(commit, status):
                return status
            if time.monotonic() > end:
                raise LocalError(f"{commit[:12]} is not synced after {timeout:g} s: {_waits_for(status)}")
            time.sleep(_POLL)

    def _decided(self, commit: str, status: Status) -> bool:
        """Is it live, or a commit after it? Raises LocalError where neither will be."""
        head, accepted = status.get("head"), status.get("accepted")
        if not self._contains(accepted, commit):
            if status.get("error") and self._contains(head, commit):
                raise LocalError(f"{commit[:12]} is refused: {status['error']}")
            return False
        if status.get("commit") == accepted:
            return True
        for name, application in status.get("applications", {}).items():
            if application.get("health") == "Degraded":
                raise LocalError(f"{commit[:12]}: {name} is Degraded: {application.get('reason')}")
        return False

    def _contains(self, newer: str | None, older: str) -> bool:
        """Is `older` the commit `newer`, or in its history?"""
        if newer is None or newer == older:
            return newer == older
        if (newer, older) not in self._descent:
            command = ["git", "-C", str(self.layout.gitops), "merge-base", "--is-ancestor", older, newer]
            done = subprocess.run(command, capture_output=True, check=False)
            self._descent[newer, older] = done.returncode == 0
        return self._descent[newer, older]

    def _alive(self, name: str) -> Record | None:
        record = records.read_record(self.layout, name)
        return record if record and record.alive() else None

    def _await_process(self, process: Record) -> None:
        """Until it says that it is up: its own record; or that of somebody else, who was faster."""
        name = process.name.partition(f"-{STARTING}-")[0]
        end = time.monotonic() + _START_LIMIT
        while time.monotonic() < end:
            if self._alive(name):
                return
            if not process.alive():
                # Ours ended at the lock where another one is starting too.
                end = min(end, time.monotonic() + _LOSER_PATIENCE)
            time.sleep(_POLL / 2)
        words = records.last_line(self.layout.log(name)).removeprefix(f"{name}: ")
        raise LocalError(words or f"the {name} is not up; see {self.layout.log(name)}")

    def _forget_dead_endpoints(self) -> None:
        """Ports of ended servers may have gone to other programs, and a gateway must not ask those."""
        objects = read_objects(self.layout.objects)
        living = {
            f"http://{HOST}:{record.port}" for record in records.read_records(self.layout) if record.alive()
        }
        services = {
            name: tuple(url for url in urls if url in living) for name, urls in objects.services.items()
        }
        if services != objects.services:
            generation = objects.generation + 1
            write_objects(self.layout.objects, replace(objects, generation=generation, services=services))


def _waits_for(status: Status) -> str:
    waiting = [
        f"{name}: {application.get('reason') or application.get('sync')}"
        for name, application in status.get("applications", {}).items()
        if application.get("sync") != "Synced" or application.get("health") != "Healthy"
    ]
    return "; ".join(waiting) or status.get("error") or "the agent has not seen it"
