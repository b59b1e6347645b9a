"""Normal form: only what Go's types give back as it was, so that the engine's bytes and ours are the same.

Go drops nulls, empty values, `false` and `0` unless the field is a pointer, and rewrites quantities.
"""

import re
from collections.abc import Iterator, Mapping
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
    name = identity(manifest)
    found = [f"{name}: {dotted(where)}: {message}" for where, message in _walk(manifest, ())]
    if manifest["kind"] == "Secret":
        found.append(f"{name}: kind: 'Secret' would be plain text in Git; reference an ExternalSecret")
    return found


def _walk(value: Any, where: Location) -> Iterator[tuple[Location, str]]:
    if isinstance(value, Mapping):
        yield from _mapping(value, where)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _item(item, (*where, index))
    else:
        yield from ((where, message) for message in _scalar(value, where))


def _mapping(value: Mapping[str, Any], where: Location) -> Iterator[tuple[Location, str]]:
    for key, item in value.items():
        here = (*where, key)
        if not isinstance(key, str) or not 0 < len(key) <= 128 or "\n" in key:
            yield here, f"{key!r} is no key; write text of 1 to 128 characters on one line"
        elif _is_dropped(key, item):
            yield here, f"{item!r} is dropped by Go's types; leave the field out"
        else:
            yield from _secret(here, value.get("name", "") if key == "value" else key, item)
            yield from _walk(item, here)


def _item(item: Any, where: Location) -> Iterator[tuple[Location, str]]:
    if item is None:
        yield where, "None crashes the provider; leave the item out"
    else:
        yield from _walk(item, where)


def _is_dropped(key: str, item: Any) -> bool:
    if isinstance(item, bool | int | float):
        return not item and key not in _POINTERS
    return not item and (key, repr(item)) not in _EMPTY


def _scalar(value: Any, where: Location) -> Iterator[str]:
    if isinstance(value, str):
        yield from _text(value, where)
    elif isinstance(value, float):
        yield f"{value!r} is a float; write an integer or a quantity in quotes"
    elif isinstance(value, int) and abs(value) >= _SAFE:
        yield f"{value!r} is above 2^53 and loses precision; write text"
    elif not isinstance(value, int):
        yield f"{value!r} is a {type(value).__name__}; write text, an integer, a boolean, a list or a mapping"


def _text(value: str, where: Location) -> Iterator[str]:
    if _UNWRITABLE.search(value):
        yield f"{value!r} holds control characters or line separators; write printable text"
    if _SECRET_VALUE.search(value):
        yield "looks like a credential, and this file is public; reference an ExternalSecret"
    if len(where) > 1 and where[-2] in _QUANTITIES and isinstance(where[-1], str):
        yield from _quantity(value)


def _quantity(value: str) -> Iterator[str]:
    try:
        normal = canonical(value)
    except ValueError as error:
        yield str(error)
        return
    if normal != value:
        yield f"{value!r} is written back as {normal!r}; write that"


def _secret(where: Location, name: Any, item: Any) -> Iterator[tuple[Location, str]]:
    """A value under such a name; the name of an environment variable stands beside its value."""
    letters = "".join(filter(str.isalpha, str(name))).lower()
    if isinstance(item, str) and letters.endswith(_SECRET_WORDS):
        yield where, f"{name!r} is the name of a secret, and this file is public; reference an ExternalSecret"
