"""Reads one commit and says whether it can run: manifests first, then the declarations they were rendered from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.declarations.errors import DeclarationError
from infra.declarations.repository import Repository, load
from infra.declarations.tree import is_declaration
from mainline.errors import Refusal
from mainline.git import Git
from mainline.local.layout import Stamp, stamp
from mainline.local.manifests import Application, ManifestError, parse

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Review:
    """A commit that may be synced."""

    commit: str
    applications: Mapping[str, Application]
    files: Mapping[str, str]
    """The commit's manifests and declarations, by path."""
    declared: Repository


class Refused(Refusal):
    """This commit changes nothing; the reason is for status.json."""


def marker(repository: Path, branch: str) -> tuple[Stamp, ...]:
    """Changes whenever the branch may have moved; costs two stats."""
    return tuple(stamp(repository / name) for name in (f"refs/heads/{branch}", "packed-refs"))


def review(git: Git, commit: str, env: str, replicas: int) -> Review:
    """Raises Refused with every reason in one line."""
    prefix = f"clusters/{env}/"
    try:
        files = git.files(commit, lambda path: path.startswith(prefix) or is_declaration(path))
        applications = parse(files, env, replicas)
        declared = load({path: text for path, text in files.items() if is_declaration(path)})
    except ManifestError as error:
        raise Refused(str(error)) from error
    except DeclarationError as error:
        raise Refused(_few(error.problems)) from error
    except Exception as error:
        # Whatever else a commit provokes, the loop that keeps the last good one running goes on.
        raise Refused(f"commit {commit[:12]} cannot be read: {type(error).__name__}: {error}") from error
    return Review(commit, applications, files, declared)


def differences(reviewed: Review, env: str) -> list[str]:
    """Manifests that are not what the declarations of the same commit render to, one warning each."""
    if env not in reviewed.declared.environments:
        return [f"no Pulumi.{env}.yaml in this commit, so its manifests are compared with nothing"]
    prefix = f"clusters/{env}/"
    committed = {path: text for path, text in reviewed.files.items() if path.startswith(prefix)}
    try:
        found = _compared(reviewed.declared, env, committed)
    except Exception as error:
        return [
            f"clusters/{env} could not be compared with its declarations: {type(error).__name__}: {error}"
        ]
    return [f"{path}: {kind}, compared with what the declarations render to" for path, kind in found]


def _compared(declared: Repository, env: str, committed: Mapping[str, str]) -> list[tuple[str, str]]:
    # Imported where there is something to compare: the agent starts without it.
    from infra.render import compare, render

    return [(item.path, item.kind) for item in compare(render(declared, env), committed)]


def _few(problems: tuple[str, ...]) -> str:
    more = len(problems) - _SHOWN
    return "; ".join(problems[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
