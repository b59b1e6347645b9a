"""What a rule of the tree says about one object."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policies.request import Object


@dataclass(frozen=True, slots=True)
class Found:
    """`object` is the one that has to change."""

    object: Object
    message: str


def space(item: Object) -> str:
    """The namespace that an object is in, as kubectl takes it."""
    return str(item["metadata"].get("namespace", "default"))


def labels_of(metadata: object) -> Mapping[str, str]:
    return inside(metadata, "labels")


def inside(value: object, *path: str) -> Mapping[str, Any]:
    """The mapping at a path; an empty one where somebody's file holds something else there."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def items_of(value: object) -> list[Any]:
    return list(value) if isinstance(value, list) else []
