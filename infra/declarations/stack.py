"""Stack files: an environment is a Pulumi stack; `mainline:` keys go over the defaults of Pulumi.yaml."""

from collections.abc import Iterator, Mapping
from typing import Any

from infra.declarations.declaration import parse
from infra.declarations.document import Document, read_document
from infra.declarations.environment import Environment
from infra.declarations.errors import DeclarationError, Location, problem, unknown

PROJECT_FILE = "Pulumi.yaml"
_NAMESPACE = "mainline"
_STACK_KEYS = ("config", "encryptionsalt", "secretsprovider", "encryptedkey", "environment")
_PROJECT_KEYS = (
    "name",
    "runtime",
    "main",
    "description",
    "author",
    "website",
    "license",
    "config",
    "stackConfigDir",
    "backend",
    "options",
    "template",
    "plugins",
    "packages",
)
_FIELDS = [f.alias or n for n, f in Environment.model_fields.items() if n != "name"]


def stack_name(path: str) -> str | None:
    """`dev` for `Pulumi.dev.yaml`; None for every other path."""
    if path == PROJECT_FILE or "/" in path or not (path.startswith("Pulumi.") and path.endswith(".yaml")):
        return None
    return path.removeprefix("Pulumi.").removesuffix(".yaml")


def read_project(text: str) -> dict[str, Any]:
    """The defaults that Pulumi.yaml gives to every stack. Raises DeclarationError."""
    document = read_document(PROJECT_FILE, text)
    top = _mapping(document, ())
    problems = [*_strangers(document, top, _PROJECT_KEYS), *_misnamed(document, top)]
    config = _mapping(document, ("config",)) if top.get("config") is not None else {}
    defaults: dict[str, Any] = {}
    for key, declared in config.items():
        namespace, _, name = key.rpartition(":")
        if namespace in ("", _NAMESPACE):
            problems += _unknown_field(document, key, name)
            defaults |= _default(name, declared)
    if problems:
        raise DeclarationError(problems)
    return defaults


def read_stack(document: Document, defaults: Mapping[str, Any]) -> Environment:
    """The environment of one stack file. Raises DeclarationError with every problem of it."""
    top = _mapping(document, ())
    config = _mapping(document, ("config",)) if top.get("config") is not None else {}
    own, problems = _own(document, config)
    problems += _strangers(document, top, _STACK_KEYS)
    fields = _in_fields(document, own)
    try:
        environment = parse(Environment, {**defaults, **own, "name": stack_name(document.file)}, fields)
    except DeclarationError as error:
        problems += error.problems
    if problems:
        raise DeclarationError(problems)
    return environment


def _own(document: Document, config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The `mainline:` part of a stack's configuration; other namespaces belong to Pulumi's providers."""
    own: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in config.items():
        namespace, _, name = key.partition(":")
        if namespace != _NAMESPACE:
            continue
        refused = [*_unknown_field(document, key, name), *_secret(document, ("config", key), value)]
        problems += refused
        own |= {} if refused else {name: value}
    return own, problems


def _in_fields(document: Document, own: Mapping[str, Any]) -> Document:
    """The same lines under the names of Environment's fields, so that problems carry those."""
    lines: dict[Location, int] = {}
    for where, line in document.lines.items():
        if len(where) > 1 and where[0] == "config" and isinstance(where[1], str):
            lines[(where[1].removeprefix(f"{_NAMESPACE}:"), *where[2:])] = line
    return Document(document.file, dict(own), lines)


def _default(name: str, declared: Any) -> dict[str, Any]:
    if not isinstance(declared, Mapping):
        return {name: declared}
    for key in ("default", "value"):
        if key in declared:
            return {name: declared[key]}
    return {}


def _mapping(document: Document, at: Location) -> Mapping[str, Any]:
    value = document.value
    for key in at:
        value = value[key]
    if not isinstance(value, Mapping):
        raise DeclarationError(
            [problem(document.file, document.line(at), at, f"{value!r} is not a mapping; write keys")]
        )
    return value


def _strangers(document: Document, top: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[str]:
    for key in top:
        if key not in known:
            yield problem(document.file, document.line((key,)), (key,), unknown(key, known, "key"))


def _misnamed(document: Document, top: Mapping[str, Any]) -> Iterator[str]:
    name = top.get("name")
    if name != _NAMESPACE:
        text = f"{name!r} is not the namespace of the stacks' keys; write '{_NAMESPACE}'"
        yield problem(document.file, document.line(("name",)), ("name",), text)


def _unknown_field(document: Document, key: str, name: str) -> Iterator[str]:
    if name not in _FIELDS:
        where = ("config", key)
        yield problem(
            document.file, document.line(where), where, unknown(name, _FIELDS, "field of mainline:")
        )


def _secret(document: Document, where: Location, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and "secure" in value:
        text = "is a secret, and what is here gets rendered as plain text; keep it in a secret store"
        yield problem(document.file, document.line(where), where, text)
    parts = (
        value.items() if isinstance(value, Mapping) else enumerate(value if isinstance(value, list) else ())
    )
    for key, part in parts:
        yield from _secret(document, (*where, key), part)
