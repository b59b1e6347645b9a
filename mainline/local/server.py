"""One server replica: its state, and how a probe or an exit changes it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mainline.local.manifests import Service
from mainline.local.plan import LiveServer, State
from mainline.local.probe import HOST
from mainline.local.records import SERVER, Record

DRAIN_LIMIT = 10.0
_STEADY = 10.0
_FIRST_BACKOFF, _LONGEST_BACKOFF = 1.0, 30.0
_FAILURES_OF_A_BROKEN_ONE = 3


@dataclass(slots=True)
class Server:
    """Times are monotonic seconds, but `since`: the wall clock of the last change of state."""

    name: str
    service: str
    application: str
    revision: str
    model: str
    digest: str
    version: str
    state: State = State.STARTING
    record: Record | None = None
    since: float = field(default_factory=time.time)
    begun: float = field(default_factory=time.monotonic)
    restarts: int = 0
    failures: int = 0
    """Ends in a row without a steady time in between."""
    retry_at: float = 0.0
    reason: str | None = None
    broken: bool = False
    """Starting it again will hardly help, so its application is Degraded."""
    misses: int = 0
    """Failed probes in a row, without an answer through the gateway in between."""
    answers: int = 0
    """What the gateway counted when it was last asked."""
    probe_at: float = 0.0
    draining_since: float | None = None

    @property
    def port(self) -> int:
        return (self.record.port if self.record else None) or 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def change(self, state: State) -> None:
        self.state, self.since, self.begun, self.misses = state, time.time(), time.monotonic(), 0

    def becomes_ready(self) -> None:
        self.change(State.READY)
        self.reason, self.broken = None, False

    def fails(self, reason: str, hopeless: bool) -> None:
        """It ended, or has to: a first end after serving is repaired at once, others after a growing pause."""
        served = self.state is State.READY
        steady = served and time.monotonic() - self.begun > _STEADY
        self.failures = 1 if steady else self.failures + 1
        self.reason, self.broken = (
            reason,
            self.broken or hopeless or self.failures >= _FAILURES_OF_A_BROKEN_ONE,
        )
        pause = min(_FIRST_BACKOFF * 2 ** min(self.failures - 1, 10), _LONGEST_BACKOFF)
        self.change(State.FAILED)
        self.retry_at = self.begun + (0.0 if self.failures == 1 and not hopeless else pause)

    def live(self, in_flight: Mapping[str, int] | None, now: float) -> LiveServer:
        """The planner's view; `in_flight` by URL as the gateway reports it, None where it does not."""
        idle = in_flight is not None and not in_flight.get(self.url)
        late = self.draining_since is not None and now - self.draining_since > DRAIN_LIMIT
        return LiveServer(self.name, self.service, self.revision, self.state, self.retry_at, idle or late)

    def details(self) -> dict[str, Any]:
        """What the record keeps, so that an agent that comes later can adopt the process."""
        names = ("service", "application", "revision", "model", "digest", "version", "restarts", "since")
        return {name: getattr(self, name) for name in names}

    def summary(self) -> dict[str, Any]:
        """What status.json says about this replica."""
        names = ("name", "digest", "version", "model", "restarts", "since", "reason")
        pid = self.record.pid if self.record and self.state is not State.FAILED else None
        shown = {name: getattr(self, name) for name in names}
        return {
            **shown,
            "state": str(self.state),
            "port": self.port,
            "pid": pid,
            "ready": self.state is State.READY,
        }


def new_server(name: str, application: str, service: Service) -> Server:
    return Server(
        name, service.name, application, service.revision, service.model, service.digest, service.version
    )  # fmt: skip


def adopted_server(record: Record) -> Server | None:
    """The replica that a record describes, not yet probed; None where the record is not a server's."""
    told = record.details
    texts = ("service", "application", "revision", "model", "digest", "version")
    if (
        record.kind != SERVER
        or record.port is None
        or not all(isinstance(told.get(name), str) for name in texts)
    ):
        return None
    server = Server(record.name, **{name: told[name] for name in texts}, record=record)
    server.restarts, server.since = int(told.get("restarts", 0)), float(told.get("since", server.since))
    return server


def tells_digest(metadata: Any, digest: str) -> bool:
    """Does a server's V2 model metadata name this digest?"""
    if not isinstance(metadata, dict):
        return False
    places = (metadata, metadata.get("parameters"), metadata.get("properties"))
    return any(isinstance(place, dict) and place.get("digest") == digest for place in places)
