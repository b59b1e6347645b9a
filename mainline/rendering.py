"""mainline render: declarations of the working tree -> clusters/, or the names of the files that differ."""

from collections.abc import Sequence
from dataclasses import dataclass

from infra.declarations.repository import load
from infra.declarations.tree import Tree, read_tree
from infra.render import Difference, compare, foreign, read_rendered, refuse_links, render, write
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
    chosen = envs or sorted(repository.environments)
    for env in chosen:
        refuse_links(places.root, env)
    found = []
    for env in chosen:
        wanted = render(repository, env)
        differences = _checked(places, env, wanted) if check else write(places.root, env, wanted)
        found.append(Rendered(env, len(wanted), differences))
    return found


def _checked(places: Places, env: str, wanted: Tree) -> list[Difference]:
    """What a write would change, and what it would leave although Argo CD applies it."""
    existing = read_rendered(places.root, env)
    return [*compare(wanted, existing), *foreign(wanted, existing)]
