"""status.json: what the agent did with the newest commit, and why not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mainline.local.manifests import Application
from mainline.local.plan import LiveServer, State, all_ready, surplus
from mainline.local.routes import Route, Rule
from mainline.local.server import Server

HEALTHY, PROGRESSING, DEGRADED = "Healthy", "Progressing", "Degraded"


@dataclass(slots=True)
class Clock:
    """When the phases of one sync ended, in seconds since the head was seen."""

    commit: str | None = None
    begun: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)

    def begin(self, commit: str, seen: float, reviewed: float) -> None:
        self.commit, self.begun, self.phases = commit, seen, {"read": round(reviewed - seen, 4)}

    def reach(self, phase: str, now: float) -> None:
        """The first time that a phase is over counts."""
        self.phases.setdefault(phase, round(now - self.begun, 4))

    def shown(self) -> dict[str, Any]:
        return {"commit": self.commit, **self.phases}


def application_status(
    desired: Application,
    servers: list[Server],
    live: list[LiveServer],
    routes: Mapping[str, Route],
    settled: bool,
) -> dict[str, Any]:
    """One application's entry, but its commit."""
    wanted = [server for server in servers if _names(desired, server)]
    health, reason = _health(desired, wanted, live, settled)
    leaving = {server.name for server in surplus(desired, live)}
    return {
        "health": health,
        "sync": "Synced" if settled or _only_heals(desired, routes, leaving) else "OutOfSync",
        "reason": reason,
        "services": _services(servers, leaving),
        "route": {route.name: [_rule(rule) for rule in route.rules] for route in routes.values()},
    }


def _only_heals(desired: Application, routes: Mapping[str, Route], leaving: set[str]) -> bool:
    return dict(routes) == dict(desired.routes) and not leaving


def _names(desired: Application, server: Server) -> bool:
    service = desired.services.get(server.service)
    return service is not None and service.revision == server.revision and server.state is not State.STOPPING


def _health(
    desired: Application, wanted: list[Server], live: list[LiveServer], settled: bool
) -> tuple[str, str | None]:
    broken = [server for server in wanted if server.broken]
    if broken:
        return DEGRADED, broken[0].reason
    if settled:
        return HEALTHY, None
    if all_ready(desired, live):
        return HEALTHY, "routes move and what Git no longer names ends"
    hurt = [server.reason for server in wanted if server.reason and server.state is not State.READY]
    missing = [server.name for server in wanted if server.state is not State.READY]
    return PROGRESSING, hurt[0] if hurt else f"waits for {', '.join(missing) or 'its servers'}"


def _services(servers: list[Server], leaving: set[str]) -> dict[str, dict[str, Any]]:
    """By InferenceService; where there are several processes, the one that stays and is ready speaks for it."""
    shown: dict[str, dict[str, Any]] = {}
    for server in sorted(servers, key=lambda s: (s.name in leaving, s.state is not State.READY, s.name)):
        entry = shown.setdefault(
            server.service, {**server.summary(), "leaving": server.name in leaving, "replicas": 0}
        )
        entry["replicas"] += server.state is State.READY
    return shown


def _rule(rule: Rule) -> dict[str, Any]:
    weights = {backend.service: backend.weight for backend in rule.backends}
    return {"weights": weights, "mirrors": [mirror.service for mirror in rule.mirrors]}
