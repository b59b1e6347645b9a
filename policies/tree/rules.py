"""The rules of the tree by name, each from the objects of an environment and what is declared about it."""

from collections.abc import Iterator, Mapping, Sequence

from infra.declarations.ceiling import Ceilings
from infra.declarations.repository import Repository
from policies.request import Object
from policies.tree import ceilings, network, secrets
from policies.tree.found import Found

NAMES = (network.NAME, secrets.NAME, ceilings.NAME)


def found(repository: Repository, env: str, objects: Sequence[Object]) -> Iterator[tuple[str, Found]]:
    """(rule, what it found) of all rules."""
    wanted = repository.environments[env].ceilings
    return judged(objects, wanted, owners(repository))


def judged(
    objects: Sequence[Object], wanted: Ceilings, teams: Mapping[str, str]
) -> Iterator[tuple[str, Found]]:
    yield from ((network.NAME, one) for one in network.unguarded(objects))
    yield from ((secrets.NAME, one) for one in secrets.leaks(objects))
    yield from ((ceilings.NAME, one) for one in ceilings.beyond(objects, wanted, teams))


def owners(repository: Repository) -> dict[str, str]:
    """`model/<name>` and `job/<name>` -> the team that answers."""
    models = {f"model/{name}": model.owner for name, model in repository.models.items()}
    return models | {f"job/{name}": job.owner for name, job in repository.jobs.items()}
