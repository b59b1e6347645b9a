"""mainline status: what should run, what runs, since which commit, and why they differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.declarations.errors import DeclarationError
from infra.declarations.release import Release, ReleasedVersion
from mainline.history import Entry, entries
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
            return {"running": None, "health": "Unknown", "reason": None}
        application = self.said.get("applications", {}).get(f"models/{model}", {})
        name = service_name(model, shown.digest)
        ready = bool(application.get("services", {}).get(name, {}).get("ready"))
        return {
            "running": ready and self.alive.get(name, False),
            "health": application.get("health", "Unknown") if self.alive.get("agent") else "Unknown",
            "reason": application.get("reason"),
        }


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
        "address": live.address if live else None,
        "models": rows,
    }


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
    log = entries(where.git, head, env=env)
    rows: list[Row] = []
    for (model, of), release in sorted(repository.releases.items()):
        if of == env:
            rows += [
                _row(model, role, shown, share, log) | live.of(model, shown)
                for role, shown, share in roles(release)
            ]
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


def service_name(model: str, digest: str) -> str:
    return f"{model}-{digest[7:15]}"


def _row(model: str, role: str, shown: ReleasedVersion, share: str, log: list[Entry]) -> Row:
    since = next((entry for entry in log if entry.model == model and entry.digest == shown.digest), None)
    return {
        "model": model,
        "role": role,
        "version": shown.version,
        "digest": shown.digest,
        "traffic": share,
        "commit": since.commit if since else None,
        "since": since.at if since else None,
    }
