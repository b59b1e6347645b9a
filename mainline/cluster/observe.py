"""A cluster's state in the words of the embedded agent's status.json, so that one `mainline status` reads both."""

from collections.abc import Mapping
from typing import Any

from mainline.cluster.connection import connect
from mainline.cluster.snapshot import Application, Service, Snapshot, look


def observe(env: str, context: str | None) -> tuple[dict[str, Any], dict[str, bool]]:
    """(what the agent would have written, name -> has it a ready pod). Raises Refusal."""
    connection = connect(env, context)
    snapshot = look(connection, env)
    said = as_said(snapshot)
    said["warnings"] = [f"context {connection.context}: {line}" for line in _warnings(snapshot)]
    # Argo CD is the agent here, and it has just answered for its Applications.
    return said, {"agent": True, **{name: one.ready_pods > 0 for name, one in snapshot.services.items()}}


def as_said(snapshot: Snapshot) -> dict[str, Any]:
    errors = [f"{one.name}: {line}" for one in snapshot.applications for line in one.errors]
    by_folder = {one.folder: one for one in snapshot.applications}
    models = {one.model for one in snapshot.services.values()} | set(snapshot.routes)
    folders = {folder for folder in by_folder if folder.startswith("models/")}
    folders |= {f"models/{model}" for model in models if model}
    return {
        "commit": snapshot.commit,
        "error": "\n".join(errors) or None,
        "address": snapshot.gateway,
        "applications": {
            folder: _entry(snapshot, folder.removeprefix("models/"), by_folder.get(folder))
            for folder in sorted(folders)
        },
    }


def _entry(snapshot: Snapshot, model: str, application: Application | None) -> dict[str, Any]:
    services = [one for one in snapshot.services.values() if one.model == model]
    broken = next((f"{one.name}: {one.reason}" for one in services if not one.ready), None)
    rules = snapshot.routes.get(model)
    return {
        "health": application.health if application else "Missing",
        "sync": application.sync if application else "Unknown",
        "reason": broken or (application.reason if application else "Argo CD has no Application for it"),
        "services": {one.name: _service(one) for one in services},
        "route": {model: rules} if rules else {},
    }


def _service(found: Service) -> Mapping[str, Any]:
    return {
        "ready": found.ready,
        "digest": found.digest,
        "version": found.version,
        "pods": f"{found.ready_pods}/{len(found.pods)}",
    }


def _warnings(snapshot: Snapshot) -> list[str]:
    """Applications that are not synced and healthy; those of models have a row of their own."""
    return [
        f"{one.name} is {one.sync} at {one.revision[:8] or 'no commit'} and {one.health}"
        + (f": {one.reason}" if one.reason else "")
        for one in snapshot.applications
        if (one.sync, one.health) != ("Synced", "Healthy")
    ]
