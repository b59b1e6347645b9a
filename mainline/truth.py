"""Where the truth of an environment is: a Git repository and the reference that is its main."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from infra.declarations.document import read_document
from infra.declarations.environment import Environment
from infra.declarations.repository import Repository, load
from infra.declarations.stack import PROJECT_FILE, read_project, read_stack
from infra.declarations.tree import is_declaration
from mainline.errors import Refusal
from mainline.git import Git
from mainline.places import Places

MAIN = "refs/heads/main"
_ORIGIN_MAIN = "refs/remotes/origin/main"


@dataclass(frozen=True, slots=True)
class Truth:
    """One environment, and the reference whose commits are the only input to it."""

    git: Git
    reference: str
    environment: Environment

    @property
    def embedded(self) -> bool:
        return self.environment.cluster == "embedded"

    def head(self) -> str:
        commit = self.git.resolve(self.reference)
        if commit is None:
            raise Refusal(f"{self.git.folder.name} has no {self.reference}; run `make up` first")
        return commit

    def declarations(self, commit: str) -> dict[str, str]:
        return self.git.files(commit, is_declaration)

    def declared(self, commit: str) -> Repository:
        return load(self.declarations(commit))

    def rendered(self, commit: str) -> Mapping[str, str]:
        prefix = f"clusters/{self.environment.name}/"
        return self.git.files(commit, lambda path: path.startswith(prefix))


def truth(places: Places, env: str) -> Truth:
    """The truth as this machine knows it; nothing is fetched."""
    environment = stack(places, env)
    if environment.cluster == "embedded":
        return Truth(Git(places.remote), MAIN, environment)
    git = Git(places.root)
    reference = _ORIGIN_MAIN if git.resolve(_ORIGIN_MAIN) else "HEAD"
    return Truth(git, reference, environment)


def fresh_truth(places: Places, env: str) -> Truth:
    """The truth after asking its Git host; what a new commit is made on."""
    where = truth(places, env)
    if where.embedded:
        return where
    if not where.git.run("remote", "get-url", "origin", check=False):
        raise Refusal(
            f"{env} is changed by a branch of the Git remote 'origin', and there is none; git remote add origin URL"
        )
    where.git.run("fetch", "-q", "origin", f"+{where.environment.branch}:{_ORIGIN_MAIN}")
    return replace(where, reference=_ORIGIN_MAIN)


def stack(places: Places, env: str) -> Environment:
    """One environment's declaration by itself, from its stack file in the working tree."""
    path = places.root / f"Pulumi.{env}.yaml"
    if "/" in env or not path.is_file():
        files = sorted(file.name for file in places.root.glob("Pulumi.*.yaml"))
        known = ", ".join(name.split(".")[1] for name in files)
        raise Refusal(f"unknown environment {env!r}: no Pulumi.{env}.yaml; there are {known}")
    defaults = read_project((places.root / PROJECT_FILE).read_text("utf-8"))
    return read_stack(read_document(path.name, path.read_text("utf-8")), defaults)
