"""Every workload has a NetworkPolicy that names it, in a namespace that denies what no policy allows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policies.request import Object
from policies.tree.found import Found, inside, items_of, labels_of, space

NAME = "network-policies"

_TEMPLATED = {"DaemonSet", "Deployment", "Job", "ReplicaSet", "StatefulSet"}
_BOTH = {"Egress", "Ingress"}


def unguarded(objects: Sequence[Object]) -> Iterator[Found]:
    """Workloads that no policy selects by a label, or whose namespace is open."""
    policies = [item for item in objects if item["kind"] == "NetworkPolicy"]
    for item in objects:
        labels = pod_labels(item)
        if labels is None:
            continue
        here = space(item)
        around = [inside(one, "spec") for one in policies if space(one) == here]
        if not any(_denies(spec) for spec in around):
            yield Found(
                item, f"namespace {here} has no NetworkPolicy that denies everything; add default-deny"
            )
        if not any(_selects(inside(spec, "podSelector", "matchLabels"), labels) for spec in around):
            fix = f"add one whose podSelector fits {_shown(labels)}"
            yield Found(item, f"no NetworkPolicy of {here} names its pods; {fix}")


def pod_labels(item: Object) -> Mapping[str, str] | None:
    """The labels of the pods that an object makes; None if it makes none."""
    if item["kind"] == "Pod":
        return labels_of(item["metadata"])
    if item["kind"] == "InferenceService":
        return labels_of(inside(item, "spec", "predictor"))
    if item["kind"] == "CronJob":
        return labels_of(inside(item, "spec", "jobTemplate", "spec", "template", "metadata"))
    if item["kind"] in _TEMPLATED:
        return labels_of(inside(item, "spec", "template", "metadata"))
    return None


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
