"""Argo CD, KServe and the kubelet of one machine: makes the processes equal to the newest commit, forever."""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mainline.errors import Refusal
from mainline.local import records
from mainline.local.keeper import Keeper
from mainline.local.layout import Layout, mapping_at, stamp, write_json
from mainline.local.servers import Servers
from mainline.local.status import HEALTHY, Clock, application_status
from mainline.local.sync import Sync
from mainline.local.watch import Watch

_BUSY, _CALM, _AFTER_TROUBLE = 0.015, 0.05, 1.0
_REST = 0.18
_LOG_LIMIT, _LOOK_AT_LOGS = 4 * 1024 * 1024, 10.0


class Agent:
    """The loop; what it decides is in `plan`, what it carries out in `sync`."""

    def __init__(self, layout: Layout, env: str, replicas: int) -> None:
        self.layout = layout
        self.watch = Watch(layout, env, replicas)
        self.servers = Servers(layout)
        self.sync = Sync(layout, self.servers)
        self.keeper = Keeper(layout)
        self.clock = Clock()
        before = mapping_at(layout.status) or {}
        self.accepted: str | None = before.get("accepted")
        self.commit: str | None = None
        self.commits: dict[str, str] = {}
        self._written: dict[str, Any] = {}
        self._logs_at = 0.0
        self._looked = float("-inf")
        self._busy = True

    async def run(self, stopping: asyncio.Event) -> None:
        await self.servers.adopt()
        await self.watch.resume(self.accepted)
        while not stopping.is_set():
            pause = self._safe_tick(time.monotonic())
            try:
                await asyncio.wait_for(stopping.wait(), pause)
            except TimeoutError:
                continue

    def _safe_tick(self, now: float) -> float:
        """Seconds until the next look; what fails is said, and everything is looked at again from the start."""
        try:
            return _BUSY if self.tick(now) else _CALM
        except Exception as error:
            # A full disk or a fault of ours: traffic goes on, and so does the loop that heals.
            reason = f"{type(error).__name__}: {error}"
            sys.stderr.write(f"agent: {reason}; looks again in {_AFTER_TROUBLE:g} s\n")
            sys.stderr.flush()
            return _AFTER_TROUBLE

    def tick(self, now: float) -> bool:
        """One look at everything; True when the next one should come soon."""
        self.watch.tick(now)
        if self._rests(now):
            return False
        self._looked = now
        self.servers.hear_of_answers(self.keeper.answers)
        self.servers.observe(now)
        self._take_accepted()
        self._busy = busy = self.sync.waiting(now)
        self.keeper.tick(now, urgent=busy or self.keeper.generation != self.sync.objects.generation)
        if self.watch.accepted:
            self.sync.step(self.keeper.generation, self.keeper.in_flight, now)
        self.note(now)
        self._bound_logs(now)
        return busy

    def _rests(self, now: float) -> bool:
        """With everything in place a look at the branch is enough, most of the time."""
        settled = self.accepted is not None and self.commit == self.accepted == self.watch.head
        return settled and not self._busy and not self.watch.looking and now - self._looked < _REST

    def _take_accepted(self) -> None:
        accepted = self.watch.accepted
        if accepted and accepted.commit != self.clock.commit:
            self.accepted = accepted.commit
            self.sync.aim(accepted.applications)
            self.servers.retry()
            self.clock.begin(accepted.commit, self.watch.seen, self.watch.reviewed)

    def note(self, now: float) -> None:
        """Write status.json when something changed that is more than the time."""
        applied = self.keeper.generation == self.sync.objects.generation
        applications = {name: self._application(name, applied, now) for name in self.sync.names()}
        self._advance(applications, applied, now)
        status = {
            "commit": self.commit,
            "head": self.watch.head,
            "accepted": self.accepted,
            "error": self.watch.error,
            "warnings": [*(self.watch.warnings or []), *self.keeper.warnings()],
            "applications": applications,
            "timings": self.clock.shown(),
        }
        if status != self._written or stamp(self.layout.status) is None:
            self._written = status
            write_json(
                self.layout.status, {**status, "at": datetime.now(UTC).isoformat(timespec="milliseconds")}
            )

    def _application(self, name: str, applied: bool, now: float) -> dict[str, Any]:
        desired, routes = self.sync.application(name), self.sync.objects.routes.get(name, {})
        live = self.sync.live(name, None, now)
        mine = [self.servers.by_name[server.name] for server in live]
        settled = self.sync.settled(name, applied, now)
        if settled and self.accepted:
            self.commits[name] = self.accepted
        told = application_status(desired, mine, live, routes, settled)
        return {**told, "commit": self.commits.get(name)}

    def _advance(self, applications: dict[str, Any], applied: bool, now: float) -> None:
        """See which phase of the sync is over; the commit is synced when all are, and its warnings are known."""
        if not self.watch.accepted or any(app["health"] != HEALTHY for app in applications.values()):
            return
        self.clock.reach("ready", now)
        names = self.sync.names()
        if applied and all(self.sync.routed(name) for name in names):
            self.clock.reach("route", now)
        if all(self.sync.settled(name, applied, now) for name in names) and self.watch.warnings is not None:
            self.clock.reach("prune", now)
            self.commit = self.accepted

    def _bound_logs(self, now: float) -> None:
        if now - self._logs_at < _LOOK_AT_LOGS:
            return
        self._logs_at = now
        for log in self.layout.log("x").parent.glob("*.log"):
            records.trim_log(log, _LOG_LIMIT)


async def _serve(layout: Layout, env: str, replicas: int) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    agent = Agent(layout, env, replicas)
    # Before anybody can see that the agent runs: what an agent before it wrote is true no more.
    agent.note(time.monotonic())
    records.announce(layout, records.AGENT)
    await agent.run(stopping)
    records.remove_record(layout, records.AGENT)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="mainline.local.agent", description=__doc__)
    parser.add_argument("root", type=Path, help="the folder that holds .mainline/")
    parser.add_argument("--env", default="local", help="the folder of clusters/ to sync")
    parser.add_argument(
        "--replicas",
        type=int,
        default=os.environ.get("MAINLINE_REPLICAS", "1"),
        help="most processes a service",
    )
    given = parser.parse_args(arguments)
    layout = Layout(given.root.resolve())
    try:
        layout.prepare()
        with records.hold(layout, records.AGENT):
            asyncio.run(_serve(layout, given.env, given.replicas))
    except (Refusal, OSError) as error:
        sys.stderr.write(f"agent: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    # Nothing of the program is left to flush, and tearing the interpreter down takes longer than the work.
    code = main()
    sys.stderr.flush()
    os._exit(code)
