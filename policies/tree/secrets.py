"""No Secret in the tree, and no value that looks like one: known formats, telling names, and texts drawn by chance."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policies.request import Object
from policies.tree.formats import drawn, formats
from policies.tree.found import Found

NAME = "no-secret-values"

# Names whose literal value is a secret whatever it looks like; names of Secrets (secretName, existingSecret) are none.
_TELLING = re.compile(
    r"(?:passw(?:or)?d|passphrase|api[-_]?key|access[-_]?key|private[-_]?key|token|client[-_]?secret)$", re.I
)
_REFERENCE = re.compile(r"\$\(.*\)|\$\{.*\}|\{\{.*\}\}|/.*|(?:true|false|none|null)?", re.S)
# Ids that are drawn by chance and public: MLflow's runs, and Git's commits.
_PUBLIC = {"V2SERVE_MODEL_RUN", "targetRevision", "revision"}

Place = tuple[str, str]  # where, and the text there


def leaks(objects: Sequence[Object]) -> Iterator[Found]:
    """One finding for each object: the first value in it that looks like a secret."""
    for item in objects:
        if item["kind"] == "Secret":
            fix = "commit an ExternalSecret that names its place in a store"
            yield Found(item, f"is a Secret, and everybody reads Git; {fix}")
            continue
        for where, text in _texts(item, "", ""):
            why = looks_secret(where.rpartition(".")[2], text)
            if why:
                yield Found(item, f"{where} looks like {why}; keep it in a secret store and name it there")
                break


def looks_secret(name: str, text: str) -> str:
    """What the text under a name looks like, with its first characters alone; empty if it is no secret."""
    for what, value in formats(text):
        return f"{what} ({_masked(value)})"
    if _TELLING.search(name) and not _REFERENCE.fullmatch(text):
        return f"the value of a {name} ({_masked(text)})"
    for value in () if name in _PUBLIC else drawn(text):
        return f"a text drawn by chance ({_masked(value)})"
    return ""


def _masked(value: str) -> str:
    return f"{value[:4]}..., {len(value)} characters" if len(value) > 8 else f"{len(value)} characters"


def _texts(value: Any, where: str, name: str) -> Iterator[Place]:
    """Every text with its place; the value of an environment variable is called by the variable's name."""
    if isinstance(value, Mapping):
        called = value.get("name") if set(value) == {"name", "value"} else None
        for key, part in value.items():
            step = str(called) if called and key == "value" else str(key)
            yield from _texts(part, f"{where}.{step}" if where else step, step)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _texts(part, f"{where}[{index}]", name)
    elif isinstance(value, str):
        yield where, value
