"""What a rule of the tree says about one object."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policies.request import Object

_TEMPLATED = {"DaemonSet", "Deployment", "Job", "ReplicaSet", "StatefulSet"}


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


def pod_templates(item: Object) -> Iterator[Mapping[str, Any]]:
    """metadata and spec of the pods that an object is a template of, those of a node of a TrainJob too."""
    spec = inside(item, "spec")
    if item["kind"] == "TrainingRuntime":
        for job in items_of(inside(spec, "template", "spec").get("replicatedJobs")):
            yield inside(job, "template", "spec", "template")
    elif item["kind"] == "CronJob":
        yield inside(spec, "jobTemplate", "spec", "template")
    elif item["kind"] in _TEMPLATED:
        yield inside(spec, "template")


def items_of(value: object) -> list[Any]:
    return list(value) if isinstance(value, list) else []
