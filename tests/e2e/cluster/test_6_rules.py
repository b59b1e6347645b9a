"""The rules on what Argo CD itself brings: the API server refuses what `mainline check` refuses, in the same words."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from kubernetes.client.exceptions import ApiException

from infra.declarations.release import ReleasedVersion
from tests.e2e.cluster.conftest import Cluster
from tests.e2e.cluster.fork import ENV
from tests.e2e.cluster.kube import Item, Kube, wait
from tests.e2e.cluster.test_3_only_git import ARGOCD, another

pytestmark = pytest.mark.cluster
APART = "e2e-digests"  # a namespace, and a copy of the rule for it alone, where tags are refused
SECRET: Item = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "e2e-from-git", "namespace": "models"},
    "stringData": {"password": "x"},
}


def _rendered(cluster: Cluster, name: str) -> Item:
    (file, *_) = sorted((cluster.fork.root / "clusters" / ENV).rglob(f"*{name}*.yaml"))
    item: Item = yaml.safe_load(file.read_text())
    return item


def _said(kube: Kube, item: Item) -> str:
    """The server's refusal; empty if it would take the object."""
    try:
        kube.apply(item, try_only=True)
    except ApiException as refused:
        if refused.status not in (403, 422):
            raise
        return str(json.loads(refused.body or "{}")["message"])
    return ""


def _changed(item: Item, room: str, value: object) -> Item:
    """With another value at `a/b/0/c`, `~` for a slash; None takes the field away."""
    made = copy.deepcopy(item)
    *path, last = room.split("/")
    at: Any = made
    for key in path:
        at = at[int(key)] if isinstance(at, list) else at[key]
    last = last.replace("~", "/")
    at[last] = value
    if value is None:
        del at[last]
    return made


MODEL, CONTAINER = "spec/predictor/model", "spec/template/spec/containers/0"


@pytest.mark.parametrize(
    ("kind", "room", "value", "words"),
    [
        ("inferenceservice", "spec/predictor/maxReplicas", 51, "the ceiling of one server is 50"),
        ("inferenceservice", f"{MODEL}/resources/limits", None, "container model of InferenceService"),
        ("inferenceservice", f"{MODEL}/resources/requests/cpu", None, "asks for nothing; set resources"),
        (
            "batch_v1-job",
            f"{CONTAINER}/resources/limits/memory",
            None,
            "may take the memory of its whole node",
        ),
        ("batch_v1-job", f"{CONTAINER}/resources/limits/nvidia.com~gpu", "1", "GPUs, the ceiling is 0"),
        ("batch_v1-job", f"{CONTAINER}/image", "docker.io/someone/else:1", "docker.io/someone/else:1"),
    ],
)
def test_argo_cd_itself_is_refused_what_a_rule_forbids(
    cluster: Cluster,
    stable: ReleasedVersion,
    figures: list[str],
    kind: str,
    room: str,
    value: object,
    words: str,
) -> None:
    # A new object: what another manager applied to one that is there stays, and a Job's pods cannot be changed.
    item = another(_rendered(cluster, kind))
    assert _said(Kube(ARGOCD), item) == ""
    said = _said(Kube(ARGOCD), _changed(item, room, value))
    assert words in said
    figures.append(said)


def test_a_secret_from_git_is_refused_and_one_of_an_administrator_is_not(cluster: Cluster) -> None:
    assert "comes from Git, where everybody reads it" in _said(Kube(ARGOCD), SECRET)
    assert _said(cluster.kube, SECRET) == ""


@pytest.fixture
def apart(cluster: Cluster) -> Iterator[Kube]:
    """Images by digest in a namespace of its own, because the images of these tests have tags alone."""
    room: Item = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": APART}}
    rule = _rendered(cluster, "validatingadmissionpolicy-default-images-by-digest")
    binding = _rendered(cluster, "validatingadmissionpolicybinding-default-images-by-digest")
    for item in (rule, binding):
        item["metadata"] = {"name": APART}
    binding["spec"]["policyName"] = APART
    match = rule["spec"]["matchConstraints"]
    match["namespaceSelector"]["matchExpressions"][0]["values"] = [APART]
    match["resourceRules"] = [
        one for one in match["resourceRules"] if one["apiGroups"] != ["serving.kserve.io"]
    ]
    (pinned,) = [one for one in rule["spec"]["variables"] if one["name"] == "pinned"]
    pinned["expression"] = "'digest'"
    for item in (room, rule, binding):
        cluster.kube.apply(item)
    yield cluster.kube
    for item in (binding, rule, room):
        cluster.kube.delete(f"{item['apiVersion']}/{item['kind']}", APART, "")


def test_where_images_are_pinned_by_digest_a_tag_is_refused(cluster: Cluster, apart: Kube) -> None:
    job = _rendered(cluster, "batch_v1-job")
    job["metadata"]["namespace"] = APART
    said = wait("the rule is in force", lambda: _said(apart, job), 60)
    assert "has no digest; write name@sha256:<64 hex>" in said
    spec = job["spec"]["template"]["spec"]
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        container["image"] = f"{container['image'].partition(':')[0]}@sha256:{'a' * 64}"
    assert _said(apart, job) == ""
