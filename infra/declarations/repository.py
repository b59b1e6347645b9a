"""A whole commit's declarations: each valid by itself, and all of them fitting together."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from infra.declarations.clouds import clouds_apart
from infra.declarations.declaration import Declaration, parse
from infra.declarations.document import Document, read_document
from infra.declarations.environment import Environment
from infra.declarations.errors import DeclarationError, Location, problem, unknown
from infra.declarations.function import misfits
from infra.declarations.job import TrainingJob
from infra.declarations.model import ServedModel, by_function
from infra.declarations.policy import Policy
from infra.declarations.release import Release, release_path
from infra.declarations.stack import PROJECT_FILE, read_project, read_stack, stack_name
from infra.declarations.tree import Tree, is_declaration
from infra.declarations.waiver import WAIVERS_FILE, Waiver, Waivers

_TRAINKIT = "trainkit"
_INPUTS = ("job.yaml", "params.yaml", "dvc.yaml")
T = TypeVar("T")
Named = TypeVar("Named", ServedModel, TrainingJob, Policy)


@dataclass(frozen=True, slots=True)
class Repository:
    """`inputs`: job -> sha256 of what its result depends on, declaration, parameters, stages and code."""

    environments: Mapping[str, Environment]
    models: Mapping[str, ServedModel]
    jobs: Mapping[str, TrainingJob]
    releases: Mapping[tuple[str, str], Release]
    inputs: Mapping[str, str] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    waivers: tuple[Waiver, ...] = ()


@dataclass(slots=True)
class _Loading:
    """What was read so far; a broken file leaves its problems and does not hide those of the next."""

    problems: list[str] = field(default_factory=list)
    documents: dict[str, Document] = field(default_factory=dict)

    def attempt(self, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except DeclarationError as error:
            self.problems += error.problems
            return None

    def declaration(self, model: type[Any], path: str, text: str) -> Any:
        def work() -> Declaration:
            document = self.documents[path] = read_document(path, text)
            declared: Declaration = parse(model, document.value, document)
            return declared

        return self.attempt(work)

    def stack(self, path: str, text: str, defaults: Mapping[str, Any]) -> Environment | None:
        def work() -> Environment:
            document = self.documents[path] = read_document(path, text)
            return read_stack(document, defaults)

        return self.attempt(work)

    def refuse(self, path: str, where: Location, message: str) -> None:
        document = self.documents.get(path)
        self.problems.append(problem(path, document.line(where) if document else 1, where, message))


def load(tree: Tree) -> Repository:
    """Collects all problems of all files and raises them as one DeclarationError."""
    loading = _Loading()
    files = {path: tree[path] for path in sorted(tree) if is_declaration(path)}
    environments = _environments(loading, files)
    models = _named(loading, ServedModel, files, "model-servers", "model.yaml")
    jobs = _named(loading, TrainingJob, files, "training-jobs", "job.yaml")
    releases = _releases(loading, files)
    policies = _named(loading, Policy, files, "policies", "policy.yaml")
    inputs, waivers = _inputs(files, jobs), _waivers(loading, files)
    repository = Repository(environments, models, jobs, releases, inputs, policies, waivers)
    _references(loading, repository, files)
    if loading.problems:
        raise DeclarationError(loading.problems)
    return repository


def _waivers(loading: _Loading, files: Tree) -> tuple[Waiver, ...]:
    if WAIVERS_FILE not in files:
        return ()
    declared: Waivers | None = loading.declaration(Waivers, WAIVERS_FILE, files[WAIVERS_FILE])
    return declared.waivers if declared else ()


def _environments(loading: _Loading, files: Tree) -> dict[str, Environment]:
    defaults: Mapping[str, Any] = {}
    if PROJECT_FILE in files:
        defaults = loading.attempt(lambda: read_project(files[PROJECT_FILE])) or {}
    environments: dict[str, Environment] = {}
    for path, text in files.items():
        name = stack_name(path)
        environment = loading.stack(path, text, defaults) if name is not None else None
        environments |= {environment.name: environment} if environment else {}
    for env, where, message in clouds_apart(environments):
        loading.refuse(f"Pulumi.{env}.yaml", where, message)
    return environments


def _named(loading: _Loading, model: type[Named], files: Tree, room: str, file: str) -> dict[str, Named]:
    """The declarations of a room by their name; folders without the file hold no declaration."""
    declared: dict[str, Named] = {}
    paths: dict[str, str] = {}
    for path, text in files.items():
        folder = _folder(path, room, file)
        value: Named | None = loading.declaration(model, path, text) if folder else None
        if value is None:
            continue
        if value.name in declared:
            owners = f"owners: {declared[value.name].owner} and {value.owner}"
            loading.refuse(
                path, ("name",), f"{value.name!r} is taken by {paths[value.name]} ({owners}); rename one"
            )
        elif value.name != folder:
            loading.refuse(path, ("name",), f"{value.name!r} is in folder {folder!r}; make them equal")
        declared.setdefault(value.name, value)
        paths.setdefault(value.name, path)
    return declared


def _folder(path: str, room: str, file: str) -> str | None:
    parts = path.split("/")
    return parts[1] if len(parts) == 3 and parts[0] == room and parts[2] == file else None


def _releases(loading: _Loading, files: Tree) -> dict[tuple[str, str], Release]:
    releases: dict[tuple[str, str], Release] = {}
    for path, text in files.items():
        parts = path.split("/")
        if len(parts) == 4 and parts[2] == "releases":
            release: Release | None = loading.declaration(Release, path, text)
            releases |= {(parts[1], parts[3].removesuffix(".yaml")): release} if release else {}
    return releases


def _inputs(files: Tree, jobs: Mapping[str, TrainingJob]) -> dict[str, str]:
    """The sha256 of a listing of what every job's result depends on, as sha256sum writes it.

    Its declaration (with the digests of its data), parameters, recipes, stages and code, trainkit, and the model.py
    that is served with what it makes.
    """
    lines = {path: f"{hashlib.sha256(text.encode()).hexdigest()}  {path}\n" for path, text in files.items()}
    listings = {
        name: "".join(line for path, line in lines.items() if _is_input(path, job))
        for name, job in jobs.items()
    }
    return {name: hashlib.sha256(listing.encode()).hexdigest() for name, listing in listings.items()}


def _is_input(path: str, job: TrainingJob) -> bool:
    folder, _, name = path.partition("/")[2].partition("/")
    if path.startswith("model-servers/"):
        return folder == job.model and name == "model.py"
    if not path.startswith("training-jobs/") or folder not in (job.name, _TRAINKIT):
        return False
    return name.endswith(".py") or (folder == job.name and (name in _INPUTS or name.startswith("conf/")))


def _references(loading: _Loading, repository: Repository, files: Tree) -> None:
    folders = {
        name: {p.split("/")[1] for p in files if p.endswith(f"/{name}")}
        for name in ("model.yaml", "job.yaml")
    }
    models, jobs = (
        sorted(folders["model.yaml"] | set(repository.models)),
        sorted(folders["job.yaml"] | set(repository.jobs)),
    )
    for model in repository.models.values():
        if model.job not in jobs:
            loading.refuse(
                f"model-servers/{model.name}/model.yaml", ("job",), unknown(model.job, jobs, "training job")
            )
    for job in repository.jobs.values():
        if job.model not in models:
            loading.refuse(
                f"training-jobs/{job.name}/job.yaml", ("model",), unknown(job.model, models, "model")
            )
    for environment in repository.environments.values():
        _overrides(loading, environment, models)
    environments = sorted(name for name in map(stack_name, files) if name)
    for (name, env), release in repository.releases.items():
        for where, message in _misplaced(repository, name, env, release, models, environments):
            loading.refuse(release_path(name, env), where, message)


def _overrides(loading: _Loading, environment: Environment, models: list[str]) -> None:
    for name in environment.models:
        if name not in models:
            where = ("config", "mainline:models", name)
            loading.refuse(f"Pulumi.{environment.name}.yaml", where, unknown(name, models, "model"))


def _misplaced(
    repository: Repository, name: str, env: str, release: Release, models: list[str], environments: list[str]
) -> Iterator[tuple[Location, str]]:
    if name not in models:
        yield (), unknown(name, models, "model")
    if env not in environments:
        yield (), unknown(env, environments, "environment")
    environment, candidate = repository.environments.get(env), release.candidate
    if environment and candidate and candidate.mode == "shadow" and not environment.gateway.mirrors:
        gateway = environment.gateway.class_name
        text = (
            f"'shadow' needs a gateway that mirrors, and {gateway!r} of {env} does not; use canary or header"
        )
        yield ("candidate", "mode"), text
    model = repository.models.get(name)
    if environment and model and by_function(model, environment):
        yield from misfits(environment, release)
