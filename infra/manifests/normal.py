"""Normal form: only what Go's types give back as it was, so that the engine's bytes and ours are the same.

Go drops nulls, empty values, `false` and `0` unless the field is a pointer, and rewrites quantities.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from infra.declarations.errors import Location, dotted
from infra.declarations.quantity import canonical
from infra.manifests.manifest import identity

_POINTERS = frozenset(
    {
        "allowPrivilegeEscalation",
        "automountServiceAccountToken",
        "backoffLimit",
        "minReplicas",
        "readOnlyRootFilesystem",
        "replicas",
        "weight",
    }
)
_EMPTY = frozenset({("emptyDir", "{}"), ("podSelector", "{}"), ("namespaceSelector", "{}"), ("group", "''")})
_QUANTITIES = frozenset({"requests", "limits"})
_UNWRITABLE = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_SAFE = 2**53
_SECRET_WORDS = ("password", "passwd", "secret", "token", "apikey", "accesskey", "secretkey", "privatekey")
_FIX = "reference an ExternalSecret"
_SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|://[^/\s:@]+:[^/\s@]+@"
)


class NormalFormError(Exception):
    """Objects that both writers would not write alike, or that nobody may write; one line for each problem."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


def problems(manifest: Mapping[str, Any]) -> list[str]:
    """`<apiVersion>/<kind>/<namespace>/<name>: <field>: <what is wrong>; <fix>`, one line for each."""
    found: list[tuple[Location, str]] = []
    _mapping(manifest, (), found)
    if manifest["kind"] == "Secret":
        found.append((("kind",), "'Secret' would be plain text in Git; reference an ExternalSecret"))
    name = identity(manifest) if found else ""
    return [f"{name}: {dotted(where)}: {message}" for where, message in found]


_Found = list[tuple[Location, str]]


def _walk(value: Any, where: Location, found: _Found) -> None:
    if isinstance(value, str):
        if complaints := _text(value):
            found.extend((where, message) for message in complaints)
        if len(where) > 1 and where[-2] in _QUANTITIES:
            found.extend((where, message) for message in _quantity(value))
    elif isinstance(value, dict):
        _mapping(value, where, found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _walk(item, (*where, index), found)
    else:
        found.extend((where, message) for message in _scalar(value))


def _mapping(value: Mapping[str, Any], where: Location, found: _Found) -> None:
    for key, item in value.items():
        here = (*where, key)
        if not _is_key(key):
            found.append((here, f"{key!r} is no key; write text of 1 to 128 characters on one line"))
        elif not item and _is_dropped(key, item):
            found.append((here, f"{item!r} is dropped by Go's types; leave the field out"))
        else:
            # The name of an environment variable stands beside its value.
            name = value.get("name", "") if key == "value" else key
            if isinstance(item, str) and _names_a_secret(name):
                found.append((here, f"{name!r} is the name of a secret, and this file is public; {_FIX}"))
            _walk(item, here, found)


@lru_cache(maxsize=8192)
def _is_key(key: Any) -> bool:
    return isinstance(key, str) and 0 < len(key) <= 128 and "\n" not in key and not _UNWRITABLE.search(key)


@lru_cache(maxsize=8192)
def _names_a_secret(name: Any) -> bool:
    return "".join(filter(str.isalpha, str(name))).lower().endswith(_SECRET_WORDS)


def _is_dropped(key: str, item: Any) -> bool:
    if isinstance(item, bool | int | float):
        return key not in _POINTERS
    return (key, repr(item)) not in _EMPTY


def _scalar(value: Any) -> Iterator[str]:
    if value is None:
        yield "None crashes the provider; leave the item out"
    elif isinstance(value, float):
        yield f"{value!r} is a float; write an integer or a quantity in quotes"
    elif not isinstance(value, int):
        yield f"{value!r} is a {type(value).__name__}; write text, an integer, a boolean, a list or a mapping"
    elif abs(value) >= _SAFE:
        yield f"{value!r} is above 2^53 and loses precision; write text"


@lru_cache(maxsize=65536)
def _text(value: str) -> tuple[str, ...]:
    found = []
    if _UNWRITABLE.search(value):
        found.append(f"{value!r} holds control characters or line separators; write printable text")
    if _SECRET_VALUE.search(value):
        found.append(f"looks like a credential, and this file is public; {_FIX}")
    return tuple(found)


def _quantity(value: str) -> Iterator[str]:
    try:
        normal = canonical(value)
    except ValueError as error:
        yield str(error)
        return
    if normal != value:
        yield f"{value!r} is written back as {normal!r}; write that"
