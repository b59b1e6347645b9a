"""mainline advance: the next step of a rollout is a commit that changes one number."""

from infra.declarations.release import Release
from infra.declarations.repository import Repository
from mainline.delivery import Decision, Delivered, deliver, ready
from mainline.errors import Refusal
from mainline.places import Places
from mainline.rollout import advanced


def advance(places: Places, model: str, env: str, traffic: int | None) -> Delivered | None:
    """Give the candidate its next share, or `traffic` per cent; 100 makes it the stable version."""
    where = ready(places, model, env)
    environment = where.environment

    def decide(repository: Repository) -> Decision:
        after = advanced(released(repository, model, env), environment.steps, traffic, environment.standby)
        shown = after.candidate or after.stable
        share = f"to {after.candidate.traffic} %" if after.candidate else "to all traffic"
        return Decision(after, "advance", f"Advance {model} version {shown.version} in {env} {share}")

    return deliver(where, model, decide)


def released(repository: Repository, model: str, env: str) -> Release:
    release = repository.releases.get((model, env))
    if release is None:
        raise Refusal(f"{model} has no release in {env}; promote it first")
    return release
