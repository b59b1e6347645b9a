"""mainline render: declarations of the working tree -> clusters/, or the names of the files that differ."""

from collections.abc import Sequence
from dataclasses import dataclass

from infra.declarations.repository import load
from infra.declarations.tree import read_tree
from infra.render import Difference, compare, read_rendered, render, write
from mainline.errors import Refusal
from mainline.places import Places


@dataclass(frozen=True, slots=True)
class Rendered:
    """One environment: how many files it has, and which of them differed."""

    env: str
    files: int
    differences: Sequence[Difference]


def rendering(places: Places, envs: Sequence[str], check: bool) -> list[Rendered]:
    """Render environments (all by default); with `check` nothing is written."""
    repository = load(read_tree(places.root))
    unknown = [env for env in envs if env not in repository.environments]
    if unknown:
        raise Refusal(
            f"unknown environment {unknown[0]!r}; there are {', '.join(sorted(repository.environments))}"
        )
    found = []
    for env in envs or sorted(repository.environments):
        wanted = render(repository, env)
        differences = (
            compare(wanted, read_rendered(places.root, env)) if check else write(places.root, env, wanted)
        )
        found.append(Rendered(env, len(wanted), differences))
    return found
