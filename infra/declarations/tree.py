"""The part of a commit that declares something, as paths and texts; the only I/O of this room reads it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from infra.declarations.errors import DeclarationError

Tree = Mapping[str, str]  # repository-relative posix path -> text

_NAME = r"[^/]+"
_DECLARATION = re.compile(
    r"Pulumi\.yaml"
    rf"|Pulumi\.{_NAME}\.yaml"
    rf"|policies/{_NAME}/policy\.yaml"
    r"|policies/waivers\.yaml"
    rf"|model-servers/{_NAME}/model\.yaml"
    rf"|model-servers/{_NAME}/releases/{_NAME}\.yaml"
    rf"|model-servers/{_NAME}/model\.py"
    rf"|training-jobs/{_NAME}/(?:{_NAME}\.yaml|{_NAME}\.py|dvc\.lock|conf/{_NAME}\.yaml)"
)
_PLACES = (
    "Pulumi.yaml",
    "Pulumi.*.yaml",
    "policies/*/policy.yaml",
    "policies/waivers.yaml",
    "model-servers/*/model.yaml",
    "model-servers/*/model.py",
    "model-servers/*/releases/*.yaml",
    "training-jobs/*/*",
    "training-jobs/*/conf/*.yaml",
)


def is_declaration(path: str) -> bool:
    """Whether rendering depends on the file at this repository-relative path."""
    return _DECLARATION.fullmatch(path) is not None


def read_tree(root: Path) -> dict[str, str]:
    """The declarations of a working tree by path. Raises DeclarationError for what is no text."""
    texts: dict[str, str] = {}
    problems: list[str] = []
    for path in sorted(set(_declared_files(root))):
        try:
            texts[path] = (root / path).read_bytes().decode()
        except UnicodeDecodeError as error:
            problems.append(f"{path}:1: byte {error.start} is not UTF-8; save the file as UTF-8")
        except OSError as error:
            problems.append(f"{path}:1: cannot be read: {error.strerror}; check its permissions")
    if problems:
        raise DeclarationError(problems)
    return texts


def _declared_files(root: Path) -> Iterator[str]:
    for place in _PLACES:
        for file in root.glob(place):
            path = file.relative_to(root).as_posix()
            if is_declaration(path) and file.is_file():
                yield path
