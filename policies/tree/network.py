"""Every workload has a NetworkPolicy that names it, in a namespace that denies what no policy allows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policies.request import Object
from policies.tree.found import Found, inside, items_of, labels_of, pod_templates, space

NAME = "network-policies"

_BOTH = {"Egress", "Ingress"}


def unguarded(objects: Sequence[Object]) -> Iterator[Found]:
    """Workloads that no policy selects by a label, or whose namespace is open."""
    policies: dict[str, list[Mapping[str, Any]]] = {}
    for item in objects:
        if item["kind"] == "NetworkPolicy":
            policies.setdefault(space(item), []).append(inside(item, "spec"))
    for item in objects:
        here = space(item)
        for labels in pods(item):
            yield from (Found(item, message) for message in _missing(here, policies.get(here, []), labels))


def pods(item: Object) -> Iterator[Mapping[str, str]]:
    """The labels of the pods that an object makes, for each kind of pod."""
    if item["kind"] == "Pod":
        yield labels_of(item["metadata"])
    elif item["kind"] == "InferenceService":
        yield labels_of(inside(item, "spec", "predictor"))
    for template in pod_templates(item):
        yield labels_of(template.get("metadata"))


def _missing(here: str, around: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> Iterator[str]:
    if not any(_denies(spec) for spec in around):
        yield f"namespace {here} has no NetworkPolicy that denies everything; add default-deny"
    if not any(_selects(inside(spec, "podSelector", "matchLabels"), labels) for spec in around):
        yield f"no NetworkPolicy of {here} names its pods; add one whose podSelector fits {_shown(labels)}"


def _denies(spec: Mapping[str, Any]) -> bool:
    """Selects everything, in both directions, and lets nothing pass."""
    selects_all, allowed = not spec.get("podSelector"), spec.get("ingress") or spec.get("egress")
    return selects_all and not allowed and {*map(str, items_of(spec.get("policyTypes")))} == _BOTH


def _selects(wanted: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """By labels alone: a selector of everything names nobody, and expressions are not written here."""
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def _shown(labels: Mapping[str, str]) -> str:
    return (
        ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
        or "a label that its pods have to get"
    )
