"""A registered resource as the rules see it, and what may be said about a value that is not known yet."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Json = Mapping[str, Any]


class Unknown:
    """A value that AWS gives when the resource is made; a preview has none."""

    def __repr__(self) -> str:
        return "(known after it is made)"


UNKNOWN: Final = Unknown()


@dataclass(frozen=True, slots=True)
class Resource:
    """`kind` is Pulumi's token, `refers` the URNs that a property is computed from, `names` what others call it by."""

    kind: str
    name: str
    props: Json
    urn: str = ""
    refers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    inherited: Mapping[str, str] = field(default_factory=dict)  # the provider's default tags

    @property
    def subject(self) -> str:
        """What a waiver calls it."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the stack declares about itself: whether its data may be lost, and the tags that everything has."""

    protect: bool = True
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    resource: Resource
    message: str


@dataclass(frozen=True, slots=True)
class Rule:
    """`judge` sees the whole stack, because what protects a bucket is a resource beside it."""

    name: str
    description: str
    judge: Callable[[Sequence[Resource], Facts], Iterator[Found]]


def each(
    judge: Callable[[Resource, Facts], Iterator[str]], *kinds: str
) -> Callable[[Sequence[Resource], Facts], Iterator[Found]]:
    """A rule that looks at every resource (of these kinds) by itself."""

    def found(resources: Sequence[Resource], facts: Facts) -> Iterator[Found]:
        for one in resources:
            if not kinds or one.kind in kinds:
                yield from (Found(one, message) for message in judge(one, facts))

    return found


def holds(value: Any, *wanted: Any) -> bool:
    """Whether a value is one of those wanted; what is not known yet gets the benefit of the doubt."""
    return isinstance(value, Unknown) or value in wanted


def part(value: Any, name: str) -> Any:
    """A field of a value that may not be there, or not be known yet."""
    return value.get(name) if isinstance(value, Mapping) else value


def refers_to(one: Resource, prop: str, target: Resource) -> bool:
    """By URN, or where the names of both are known by name."""
    value = one.props.get(prop)
    return target.urn in one.refers.get(prop, ()) or (isinstance(value, str) and value in target.names)


def document(value: Any) -> Json | None:
    """A policy document, given as JSON or as a mapping; None where it is not known yet, or is no JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, Mapping) else None


def listed(value: Any) -> list[Any]:
    """AWS takes one thing for a list of one."""
    if value is None or isinstance(value, Unknown):
        return []
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def allowed(found: Json) -> Iterator[Json]:
    """The statements of a document that give something."""
    for statement in listed(found.get("Statement")):
        if isinstance(statement, Mapping) and statement.get("Effect") == "Allow":
            yield statement
