"""Bytes that a release names and the store has lost or that were changed there: put back from the registry."""

from infra.declarations.release import ReleasedVersion
from mainline.errors import Refusal
from mainline.places import Places
from mainline.promote import registry_uri, store_of
from mainline.registry import Registry
from mainline.truth import Truth

Lost = list[tuple[str, ReleasedVersion]]


def lost(places: Places, where: Truth) -> Lost:
    """(model, version) of everything released whose bytes in the store are not what Git names."""
    store = store_of(places, where.environment)
    releases = where.declared(where.head()).releases
    return [
        (model, shown)
        for (model, env), release in sorted(releases.items())
        if env == where.environment.name
        for shown in release.versions.values()
        if store.problem(model, shown.digest)
    ]


def restore(places: Places, where: Truth, missing: Lost) -> None:
    """Raises Refusal for bytes that no registered version has."""
    registry = Registry(registry_uri(places, where.environment.registry))
    store = store_of(places, where.environment)
    for model, shown in missing:
        found = registry.with_digest(model, shown.digest)
        if found is None:
            raise Refusal(
                f"the store lacks {model} version {shown.version} ({shown.short}), and no registered version has "
                f"these bytes; train commit {shown.code[:8]} again, or take the release back: mainline rollback"
            )
        store.put(model, shown.digest, registry.fetch(found))
