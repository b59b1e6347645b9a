"""mainline status: what should run, what runs, since which commit, and why they differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.declarations.errors import DeclarationError
from infra.declarations.release import Release, ReleasedVersion
from infra.manifests.names import service
from mainline.cluster.observe import observe
from mainline.history import since
from mainline.local.environment import Embedded
from mainline.places import Places
from mainline.truth import Truth, truth

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Live:
    """What the agent wrote last, and which processes are alive now; it may be off since it wrote.

    Of a cluster: what its API server says, in the same words. Where nothing is alive, nobody was asked.
    """

    said: Mapping[str, Any]
    alive: Mapping[str, bool]

    def of(self, model: str, shown: ReleasedVersion) -> Row:
        if not self.alive:
            return {"live_traffic": None, "running": None, "pods": None, "health": "Unknown", "reason": None}
        application = self.application(model)
        name = service(model, shown)
        found = application.get("services", {}).get(name, {})
        ready = bool(found.get("ready")) and found.get("digest", shown.digest) == shown.digest
        return {
            "live_traffic": self.share(model, name),
            "running": ready and self.alive.get(name, False),
            "pods": found.get("pods"),
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
                "pods": found.get("pods"),
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


def status(places: Places, env: str, context: str | None = None, offline: bool = False) -> dict[str, Any]:
    """Declared and live state of one environment as plain data (what `--json` prints); `offline` asks Git alone."""
    where = truth(places, env)
    head = where.head()
    if where.embedded:
        return _embedded(places, where, head)
    if offline:
        return _shown(where, head, _Live({}, {}), {})
    said, alive = observe(env, context)
    return _shown(where, head, _Live(said, alive), said)


def _embedded(places: Places, where: Truth, head: str) -> dict[str, Any]:
    live = Embedded(places.root, where.environment.name)
    said, alive = live.status() or {}, live.running()
    off = [name for name in ("agent", "gateway") if not alive.get(name)]
    more = {"processes": alive, "off": off, "address": live.address}
    return _shown(where, head, _Live(said, alive), said) | more


def _shown(where: Truth, head: str, live: _Live, said: Mapping[str, Any]) -> dict[str, Any]:
    rows, error = _rows(where, head, live)
    return {
        "environment": where.environment.name,
        "head": head,
        "synced": said.get("commit"),
        "asked": bool(live.alive),
        "error": said.get("error") or error,
        "warnings": said.get("warnings", []),
        "processes": {},
        "off": said.get("off", []),
        "address": said.get("address"),
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
