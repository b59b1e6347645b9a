"""Declarations to files: pure up to the text, and one writer that touches only what it owns."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from infra.declarations.environment import Environment
from infra.declarations.errors import DeclarationError, unknown
from infra.declarations.model import by_function
from infra.declarations.repository import Repository
from infra.declarations.tree import Tree
from infra.manifests.admission import admission
from infra.manifests.argocd import argocd, pruned
from infra.manifests.capacity import capacity, queues
from infra.manifests.entry import entry
from infra.manifests.manifest import identity, path
from infra.manifests.normal import NormalFormError, problems
from infra.manifests.parts import FOLDER, spaces
from infra.manifests.platform import platform
from infra.manifests.routing import route
from infra.manifests.secrets import secrets
from infra.manifests.serving import serving
from infra.manifests.training import training
from infra.manifests.yaml import dump

_APPLIED = (".yaml", ".yml", ".json", ".jsonnet")  # what Argo CD reads in a folder of manifests

Applications = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Difference:
    """One file that is not what the declarations mean."""

    path: str
    kind: Literal["missing", "different", "stale", "foreign"]


def applications(repository: Repository, env: str) -> Applications:
    """The objects of an environment by application folder. Raises DeclarationError and NormalFormError."""
    if env not in repository.environments:
        raise DeclarationError(
            [f"Pulumi.{env}.yaml:1: {unknown(env, sorted(repository.environments), 'environment')}"]
        )
    environment = repository.environments[env]
    folders = {
        "platform": [
            *platform(environment),
            *entry(environment),
            *admission(environment, repository.policies.values(), repository.waivers),
        ],
        **_parts(environment),
        **_models(repository, environment),
        **_jobs(repository, environment),
    }
    folders["argocd"] = argocd(environment, folders)
    _refuse(env, folders)
    return folders


def _parts(environment: Environment) -> Applications:
    """Folders of what charts need of us, and of what is said to them; none where nothing is."""
    folders = {
        FOLDER: spaces(environment),
        "capacity": capacity(environment),
        "secrets": secrets(environment),
        "queues": queues(environment),
    }
    return {folder: objects for folder, objects in folders.items() if objects}


def _models(repository: Repository, environment: Environment) -> Applications:
    """Only models with a release in this environment, and a server in its cluster; a declaration alone runs nothing."""
    folders: Applications = {}
    for name, model in sorted(repository.models.items()):
        release = repository.releases.get((name, environment.name))
        if release and not by_function(model, environment):
            folders[f"models/{name}"] = [
                *serving(model, environment, release),
                route(model, environment, release),
                pruned(name),
            ]
    return folders


def _jobs(repository: Repository, environment: Environment) -> Applications:
    return {
        f"jobs/{name}": training(job, environment, repository.inputs[name])
        for name, job in sorted(repository.jobs.items())
    }


def _refuse(env: str, folders: Applications) -> None:
    found = [line for objects in folders.values() for item in objects for line in problems(item)]
    owners: dict[str, str] = {}
    for folder, objects in folders.items():
        for item in objects:
            file, owner = f"clusters/{env}/{folder}/{path(item)}", identity(item)
            if file in owners:
                found.append(f"{file}: {owners[file]} and {owner} render to this path; rename one of them")
            elif owner in owners:
                found.append(f"{file}: {owner} is in {owners[owner]} too; keep it in one application")
            owners[file], owners[owner] = owner, file
    if found:
        raise NormalFormError(found)


def render(repository: Repository, env: str) -> dict[str, str]:
    """Every file below clusters/<env>/ as text, sorted by path. Raises as `applications` does."""
    files = {
        f"clusters/{env}/{folder}/{path(item)}": dump(item)
        for folder, objects in applications(repository, env).items()
        for item in objects
    }
    return dict(sorted(files.items()))


def owned(file: str, text: str) -> bool:
    """Whether rendering wrote this file: it lies where its object belongs and says who manages it."""
    try:
        item = yaml.load(text, Loader=yaml.CSafeLoader)
        managed = item["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "mainline"
        return managed and file.endswith(f"/{path(item)}")
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return False


def compare(rendered: Tree, existing: Tree) -> list[Difference]:
    """What has to change for `existing` to become `rendered`; files of somebody else are no difference."""
    found = [Difference(file, "missing") for file in rendered if file not in existing]
    found += [
        Difference(file, "different") for file, text in rendered.items() if existing.get(file, text) != text
    ]
    stale = (file for file, text in existing.items() if file not in rendered and owned(file, text))
    found += [Difference(file, "stale") for file in stale]
    return sorted(found, key=lambda difference: difference.path)


def foreign(rendered: Tree, existing: Tree) -> list[Difference]:
    """What Argo CD would apply although nobody rendered it: found by a check, never removed by a writer."""
    return [
        Difference(file, "foreign")
        for file, text in sorted(existing.items())
        if file not in rendered and file.endswith(_APPLIED) and not owned(file, text)
    ]


def refuse_links(root: Path, env: str) -> None:
    """Raises DeclarationError at a symbolic link on the way to clusters/<env>/ or below it, OSError at what is shut."""
    folder = root / "clusters" / env
    for place in (folder.parent, folder, *_below(folder)):
        if place.is_symlink():
            link = f"{place.relative_to(root).as_posix()}: is a symbolic link to {str(place.readlink())!r}"
            raise DeclarationError(
                [f"{link}, and rendering stays inside of the repository; put a folder or a file there"]
            )


def _below(folder: Path) -> Iterator[Path]:
    for top, folders, files in os.walk(folder, onerror=_shut):
        yield from (Path(top, name) for name in (*folders, *files))


def _shut(error: OSError) -> None:
    """A folder that is not there holds no link; one that cannot be read is no empty folder."""
    if not isinstance(error, FileNotFoundError):
        raise error


def read_rendered(root: Path, env: str) -> dict[str, str]:
    """What Argo CD would read below clusters/<env>/; what is not UTF-8 is nobody's manifest but still there.

    Raises as `refuse_links` does.
    """
    refuse_links(root, env)
    found = (root / "clusters" / env).rglob("*")
    files = sorted(file for file in found if file.name.endswith(_APPLIED) and file.is_file())
    return {file.relative_to(root).as_posix(): file.read_text(errors="replace") for file in files}


def write(root: Path, env: str, rendered: Tree) -> list[Difference]:
    """Makes clusters/<env>/ what was rendered and returns what had to change."""
    differences = compare(rendered, read_rendered(root, env))
    changed = [difference.path for difference in differences if difference.kind != "stale"]
    for folder in sorted({file.rpartition("/")[0] for file in changed}):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for file in changed:
        _replace(f"{root}/{file}", rendered[file])
    for difference in differences:
        if difference.kind == "stale":
            _remove(root / difference.path, root / "clusters")
    return differences


def _replace(file: str, text: str) -> None:
    """A reader sees the old file or the new one, never half of one."""
    folder, _, name = file.rpartition("/")
    draft = f"{folder}/.{name}.{os.getpid()}"
    try:
        with open(draft, "w", encoding="utf-8", newline="\n") as stream:  # noqa: PTH123 (12,000 files a run)
            stream.write(text)
        os.replace(draft, file)  # noqa: PTH105
    except OSError:
        Path(draft).unlink(missing_ok=True)
        raise


def _remove(file: Path, top: Path) -> None:
    """Removes the file, and the folders that it leaves empty."""
    file.unlink()
    folder = file.parent
    while folder != top and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
