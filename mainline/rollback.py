"""mainline rollback: the earlier release, found in Git, as a new commit."""

from infra.declarations.release import Release, ReleasedVersion
from infra.declarations.repository import Repository
from mainline.advance import released
from mainline.delivery import Decision, Delivered, deliver, ready
from mainline.errors import Refusal
from mainline.history import released_versions
from mainline.places import Places
from mainline.promote import store_of
from mainline.rollout import rolled_back
from mainline.truth import Truth


def rollback(places: Places, model: str, env: str, number: int | None) -> Delivered | None:
    """End a running rollout, or go back to the release before this one (or to version `number` of the history)."""
    where = ready(places, model, env)
    environment = where.environment

    def decide(repository: Repository) -> Decision | None:
        release = released(repository, model, env)
        after = _after(where, release, model, number)
        if after == release:
            return None
        problem = store_of(places, environment).problem(model, after.stable.digest)
        if problem:
            raise Refusal(f"{model} version {after.stable.version} cannot serve again: {problem}")
        return Decision(after, "rollback", f"Roll back {model} in {env} to version {after.stable.version}")

    return deliver(where, model, decide)


def _after(where: Truth, release: Release, model: str, number: int | None) -> Release:
    if number is None and release.candidate is not None:
        return rolled_back(release, None)
    return rolled_back(Release(stable=release.stable), _earlier(where, release, model, number))


def _earlier(where: Truth, release: Release, model: str, number: int | None) -> ReleasedVersion | None:
    known = released_versions(where.git, where.head(), model, where.environment.name)
    if number is None:
        return next((version for version in known if version.version < release.stable.version), None)
    chosen = next((version for version in known if version.version == number), None)
    if chosen is None:
        listed = ", ".join(sorted({str(version.version) for version in known}))
        raise Refusal(
            f"{model} version {number} was never released to {where.environment.name}; released were {listed}"
        )
    return chosen
