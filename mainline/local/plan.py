"""What to do next for one application, from what Git names and what runs: pure, level-triggered.

Waves: start what is missing and wait until it is ready; then publish the routes and wait until the gateway has them;
then, and only then, end what Git no longer names. Asked at every tick, so a newer commit supersedes a waiting one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mainline.local.manifests import Application
from mainline.local.routes import Route


class State(StrEnum):
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    """Ended without being asked to; started again when its backoff is over."""
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class LiveServer:
    """One server process; `retry_at` (seconds, monotonic) counts for a failed one."""

    name: str
    service: str
    revision: str
    state: State
    retry_at: float = 0.0
    drained: bool = False
    """The gateway says that no request is on its way to it, or waiting for that took too long."""


@dataclass(frozen=True, slots=True)
class Published:
    """The live routes of this application, and whether the gateway reported this generation of them."""

    routes: Mapping[str, Route]
    applied: bool


@dataclass(frozen=True, slots=True)
class Start:
    """Start a replica: a new one, or the failed server `name` again."""

    service: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Publish:
    routes: Mapping[str, Route]


@dataclass(frozen=True, slots=True)
class Stop:
    name: str


Action = Start | Publish | Stop


def plan(
    desired: Application, servers: Sequence[LiveServer], published: Published, now: float
) -> list[Action]:
    """The next actions; none while something is waited for, or when all is as Git says."""
    starts = [action for name in sorted(desired.services) for action in _starts(desired, name, servers, now)]
    if starts or not all_ready(desired, servers):
        return list(starts)
    if dict(published.routes) != dict(desired.routes):
        return [Publish(desired.routes)]
    if not published.applied:
        return []
    return [Stop(server.name) for server in surplus(desired, servers) if _may_stop(server)]


def _starts(desired: Application, name: str, servers: Iterable[LiveServer], now: float) -> list[Start]:
    service = desired.services[name]
    replicas = [server for server in servers if wanted(desired, server) and server.service == name]
    again = [
        Start(name, server.name)
        for server in replicas
        if server.state is State.FAILED and server.retry_at <= now
    ]
    return again + [Start(name)] * (service.replicas - len(replicas))


def wanted(desired: Application, server: LiveServer) -> bool:
    """Is it a replica of something that Git names, as Git describes it now?"""
    service = desired.services.get(server.service)
    return service is not None and service.revision == server.revision and server.state is not State.STOPPING


def all_ready(desired: Application, servers: Sequence[LiveServer]) -> bool:
    return all(
        ready(desired, name, servers) >= service.replicas for name, service in desired.services.items()
    )


def ready(desired: Application, name: str, servers: Iterable[LiveServer]) -> int:
    """How many replicas of this service are ready as Git describes it."""
    ours = (server for server in servers if server.service == name and wanted(desired, server))
    return sum(server.state is State.READY for server in ours)


def surplus(desired: Application, servers: Iterable[LiveServer]) -> list[LiveServer]:
    """Servers that Git does not name any more, and replicas above what it asks for."""
    left = {name: service.replicas for name, service in desired.services.items()}
    extra = []
    for server in servers:
        if wanted(desired, server) and left[server.service] > 0:
            left[server.service] -= 1
        else:
            extra.append(server)
    return extra


def _may_stop(server: LiveServer) -> bool:
    return server.state is State.FAILED or (server.drained and server.state is not State.STOPPING)


def endpoints(desired: Application | None, servers: Sequence[LiveServer]) -> dict[str, list[str]]:
    """Service name -> names of the servers that may get its traffic.

    While nothing of the new description is ready, the old one goes on; a surplus server of a live service gets nothing.
    """
    by_service: dict[str, list[LiveServer]] = {}
    for server in servers:
        if server.state is State.READY:
            by_service.setdefault(server.service, []).append(server)
    extra = {server.name for server in surplus(desired, servers)} if desired else set()
    chosen = {name: [s for s in ours if s.name not in extra] or ours for name, ours in by_service.items()}
    return {name: sorted(server.name for server in ours) for name, ours in chosen.items()}
