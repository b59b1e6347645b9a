"""mainline status: what should run, what runs, since which commit, and why they differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.declarations.errors import DeclarationError
from infra.declarations.release import Release, ReleasedVersion
from infra.manifests.names import service
from mainline.history import since
from mainline.local.environment import Embedded
from mainline.places import Places
from mainline.truth import Truth, truth

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Live:
    """What the agent wrote last, and which processes are alive now; it may be off since it wrote.

    Without processes nothing is known: the environment is a cluster, which is not asked from here.
    """

    said: Mapping[str, Any]
    alive: Mapping[str, bool]

    def of(self, model: str, shown: ReleasedVersion) -> Row:
        if not self.alive:
            return {"live_traffic": None, "running": None, "health": "Unknown", "reason": None}
        application = self.application(model)
        name = service(model, shown)
        ready = bool(application.get("services", {}).get(name, {}).get("ready"))
        return {
            "live_traffic": self.share(model, name),
            "running": ready and self.alive.get(name, False),
            "health": application.get("health", "Unknown") if self.alive.get("agent") else "Unknown",
            "reason": application.get("reason"),
        }

    def application(self, model: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.said.get("applications", {}).get(f"models/{model}", {})
        return found

    def share(self, model: str, name: str) -> str:
        return _share(list(self.application(model).get("route", {}).values()), f"{name}-predictor")

    def undeclared(self, model: str, declared: set[str]) -> list[Row]:
        """What still runs although the newest release does not name it: it serves until its successor is ready."""
        services = self.application(model).get("services", {})
        return [
            {
                **dict.fromkeys(("commit", "since", "reason")),
                "model": model,
                "role": "earlier",
                "version": found.get("version"),
                "traffic": "none",
                "digest": found.get("digest", ""),
                "health": self.application(model).get("health", "Unknown"),
                "live_traffic": self.share(model, name),
                "running": bool(found.get("ready")) and self.alive.get(name, False),
            }
            for name, found in sorted(services.items())
            if name not in declared and self.alive.get(name, False)
        ]


def _share(routes: list[list[Mapping[str, Any]]], service: str) -> str:
    """What the live route gives a service: a share of the calls, those with a header, copies, or none."""
    if not routes:
        return "none"
    *special, default = routes[0]
    weights = default.get("weights", {})
    if weights.get(service):
        return f"{round(100 * weights[service] / sum(weights.values()))} %"
    if any(service in rule.get("weights", {}) for rule in special):
        return "header"
    mirrored = any(service in rule.get("mirrors", ()) for rule in routes[0])
    return "shadow" if mirrored else "none"


def status(places: Places, env: str) -> dict[str, Any]:
    """Declared and live state of one environment as plain data (what `--json` prints)."""
    where = truth(places, env)
    head = where.head()
    live = Embedded(places.root, env) if where.embedded else None
    said = (live.status() if live else None) or {}
    alive = live.running() if live else {}
    rows, error = _rows(where, head, _Live(said, alive))
    return {
        "environment": env,
        "head": head,
        "synced": said.get("commit"),
        "error": said.get("error") or error,
        "warnings": said.get("warnings", []),
        "processes": alive,
        "off": [name for name in ("agent", "gateway") if live and not alive.get(name)],
        "address": live.address if live else None,
        "models": rows,
    }


def agrees(found: Mapping[str, Any]) -> bool:
    """Whether what runs is what Git names; a cluster that was not asked is not held against it."""
    return not found["error"] and not found["off"] and all(map(_as_declared, found["models"]))


def _as_declared(row: Row) -> bool:
    return row["running"] is None or (row["running"] and row["live_traffic"] == row["traffic"])


def _rows(where: Truth, head: str, live: _Live) -> tuple[list[Row], str | None]:
    try:
        repository = where.declared(head)
    except DeclarationError as error:
        # The newest commit cannot be read: show what runs, from the last one that could.
        synced = live.said.get("commit")
        if not synced or synced == head:
            return [], str(error)
        return _rows(where, synced, live)[0], str(error)
    env = where.environment.name
    rows: list[Row] = []
    for (model, of), release in sorted(repository.releases.items()):
        if of == env:
            shown = roles(release)
            rows += [
                _row(where, head, model, role, one, share) | live.of(model, one) for role, one, share in shown
            ]
            rows += live.undeclared(model, {service(model, one) for _, one, _ in shown})
    return rows, None


def roles(release: Release) -> list[tuple[str, ReleasedVersion, str]]:
    """(role, version, share of the traffic) of everything that a release keeps running."""
    candidate = release.candidate
    canary = candidate.traffic or 0 if candidate and candidate.mode == "canary" else 0
    found = [("stable", release.stable, f"{100 - canary} %")]
    if candidate is not None:
        share = f"{canary} %" if candidate.mode == "canary" else candidate.mode
        found.append(("candidate", candidate, share))
    if release.standby is not None:
        found.append(("standby", release.standby, "none"))
    return found


def _row(where: Truth, head: str, model: str, role: str, shown: ReleasedVersion, share: str) -> Row:
    commit, at = since(where.git, head, model, where.environment.name, shown.digest) or (None, None)
    return {
        "model": model,
        "role": role,
        "version": shown.version,
        "digest": shown.digest,
        "traffic": share,
        "commit": commit,
        "since": at,
    }
