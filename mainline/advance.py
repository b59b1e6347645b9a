"""mainline advance: the next step of a rollout is a commit that changes one number."""

from infra.declarations.release import Release
from infra.declarations.repository import Repository
from mainline.delivery import Decision, Delivered, deliver
from mainline.errors import Refusal
from mainline.places import Places
from mainline.promote import refuse_unknown
from mainline.rollout import advanced
from mainline.truth import fresh_truth


def advance(places: Places, model: str, env: str, traffic: int | None) -> Delivered | None:
    """Give the candidate its next share, or `traffic` per cent; 100 makes it the stable version."""
    where = fresh_truth(places, env)
    environment = where.environment
    refuse_unknown(places, model)

    def decide(repository: Repository) -> Decision:
        after = advanced(released(repository, model, env), environment.steps, traffic, environment.standby)
        shown = after.candidate or after.stable
        share = f"to {after.candidate.traffic} %" if after.candidate else "to all traffic"
        return Decision(after, "advance", f"Advance {model} version {shown.version} in {env} {share}")

    return deliver(places, where, model, decide)


def released(repository: Repository, model: str, env: str) -> Release:
    release = repository.releases.get((model, env))
    if release is None:
        raise Refusal(f"{model} has no release in {env}; promote it first")
    return release
