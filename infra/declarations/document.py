"""Strict YAML with line numbers: no duplicate keys, aliases or tags; only `true` and `false` are booleans."""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from infra.declarations.errors import DeclarationError, Key, Location, problem

_DEEPEST = 100
_LARGEST = 1 << 20
_TAG = "tag:yaml.org,2002:"
_PLAIN = (
    ("bool", r"true|false", "tf"),
    ("null", r"null|~|", "n~\0"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", "-+0123456789"),
)


class _Loader(yaml.CSafeLoader):
    """YAML 1.2's plain scalars: `yes`, `on`, `0o7`, `1_000` and dates stay text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's way)


for _kind, _pattern, _first in _PLAIN:
    _Loader.add_implicit_resolver(
        _TAG + _kind, re.compile(f"^(?:{_pattern})$"), list(_first.replace("\0", ""))
    )
_Loader.yaml_implicit_resolvers[""] = [(_TAG + "null", re.compile("^$"))]


@dataclass(frozen=True, slots=True)
class Document:
    """A file's value, and the line of every key and item in it."""

    file: str
    value: Any
    lines: dict[Location, int]

    def line(self, location: Location) -> int:
        """The line of a location, or of the nearest thing around it; the first line is 1."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


@dataclass(slots=True)
class _Reading:
    file: str
    lines: dict[Location, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def refuse(self, node: yaml.Node, where: Location, message: str) -> None:
        self.problems.append(problem(self.file, node.start_mark.line + 1, where, message))


def read_document(file: str, text: str) -> Document:
    """Raises DeclarationError with every problem of the text."""
    reading = _Reading(file)
    try:
        node = _compose(file, text)
        value = None if node is None else _value(reading, node, ())
    except RecursionError:
        raise DeclarationError([f"{file}:1: nested too deeply; write it flatter"]) from None
    if reading.problems:
        raise DeclarationError(reading.problems)
    return Document(file, value, reading.lines)


def _refuse_deep(file: str, text: str) -> None:
    """libyaml's composer recurses in C, where a deep document ends the process; so count before composing."""
    if len(text) > _LARGEST:
        raise DeclarationError([f"{file}:1: is longer than {_LARGEST} characters; split it"])
    if sum(text.count(opening) for opening in ("[", "{", "- ", "? ")) < _DEEPEST:
        return
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise DeclarationError([f"{file}:1: is nested more than {_DEEPEST} deep; write it flatter"])


def _compose(file: str, text: str) -> yaml.Node | None:
    loader = None
    try:
        _refuse_deep(file, text)
        loader = _Loader(text)
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DeclarationError(
            [f"{file}:{mark.line + 1 if mark else 1}: {error.problem}; not YAML"]
        ) from None
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        raise DeclarationError([f"{file}:1: {' '.join(str(error).split())}; not YAML"]) from None
    finally:
        if loader is not None:
            loader.dispose()


def _value(reading: _Reading, node: yaml.Node, where: Location) -> Any:
    if id(node) in reading.seen:
        reading.refuse(node, where, "is an alias; write the value out")
        return None
    reading.seen.add(id(node))
    if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
        return _mapping(reading, node, where)
    if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
        return [_entry(reading, item, item, (*where, index)) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return _scalar(reading, node, where)
    reading.refuse(node, where, f"{node.tag!r} is a tag; write plain YAML")
    return None


def _mapping(reading: _Reading, node: yaml.MappingNode, where: Location) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = key_node.value
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _TAG + "str":
            reading.refuse(key_node, where, f"key {key!r} is not text; put it in quotes")
        elif key in values:
            first = reading.lines[(*where, key)]
            reading.refuse(key_node, (*where, key), f"is there twice, first on line {first}; remove one")
        else:
            values[key] = _entry(reading, key_node, value_node, (*where, key))
    return values


def _entry(reading: _Reading, place: yaml.Node, node: yaml.Node, where: tuple[Key, ...]) -> Any:
    reading.lines[where] = place.start_mark.line + 1
    return _value(reading, node, where)


def _scalar(reading: _Reading, node: yaml.ScalarNode, where: Location) -> str | int | float | bool | None:
    text: str = node.value
    kind = node.tag.removeprefix(_TAG)
    complaint = _misfit(kind, text)
    if complaint:
        reading.refuse(node, where, complaint)
        return None
    if kind == "str":
        return text
    if kind in ("int", "float"):
        return int(text) if kind == "int" else float(text)
    return {"true": True, "false": False}.get(text)


def _misfit(kind: str, text: str) -> str:
    if kind != "str" and not any(kind == name and re.fullmatch(like, text) for name, like, _ in _PLAIN):
        return f"{text!r} has a tag; write plain YAML"
    if kind != "str" and len(text) > 40:
        return f"{text[:20]!r}... is too long for a number; put it in quotes"
    return ""
