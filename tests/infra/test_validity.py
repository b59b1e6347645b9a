"""Every object against the schemas of those who read it: Kubernetes' own and KServe's SDK."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kserve
import kubernetes_validate
import pytest
from kubernetes import client

from infra.declarations.repository import load
from infra.declarations.tree import read_tree
from infra.manifests.manifest import identity
from infra.render import applications
from tests.infra.samples import PARTS_STACK, RELEASES, STACK, repository

ROOT = Path(__file__).parents[2]
KUBERNETES = "1.34"
BUILT_IN = {
    "admissionregistration.k8s.io/v1",
    "batch/v1",
    "networking.k8s.io/v1",
    "policy/v1",
    "storage.k8s.io/v1",
    "v1",
}
STACKS = {
    "a cloud": STACK,
    "a cluster without autoscaler": f"{STACK}  mainline:autoscaler: none\n",
    "parts": PARTS_STACK,
    "TLS": f"{STACK}  mainline:domain: m.example.com\n  mainline:gateway: {{certificate: tls}}\n",
}


@functools.cache
def _rendered() -> list[dict[str, Any]]:
    """What each rollout and stack makes, and what is in this repository, once each."""
    own = load(read_tree(ROOT))
    found = [
        applications(repository(mode, stack=stack), "dev") for mode in RELEASES for stack in STACKS.values()
    ]
    found += [applications(own, env) for env in own.environments]
    objects = [item for folders in found for items in folders.values() for item in items]
    return list({str(item): item for item in objects}.values())


def _kinds(*versions: str) -> Iterator[dict[str, Any]]:
    return (item for item in _rendered() if item["apiVersion"] in versions)


def test_objects_of_kubernetes_hold_no_unknown_field() -> None:
    checked = list(_kinds(*BUILT_IN))
    for item in checked:
        kubernetes_validate.validate(item, KUBERNETES, strict=True)
    assert {item["kind"] for item in checked} == {
        "ConfigMap",
        "Job",
        "Namespace",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "ServiceAccount",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }


def test_the_schema_check_would_notice_a_typo() -> None:
    item = next(_kinds("batch/v1"))
    with pytest.raises(kubernetes_validate.ValidationError, match="backofLimit"):
        kubernetes_validate.validate(
            {**item, "spec": {**item["spec"], "backofLimit": 1}}, KUBERNETES, strict=True
        )


def test_inference_services_survive_kserves_sdk_unchanged() -> None:
    services = list(_kinds("serving.kserve.io/v1beta1"))
    assert len(services) >= 4
    for item in services:
        assert _through_sdk(item) == item, identity(item)


def test_the_sdk_check_would_notice_a_typo() -> None:
    item = next(_kinds("serving.kserve.io/v1beta1"))
    item = {**item, "spec": {"predictor": {**item["spec"]["predictor"], "minReplica": 1}}}
    assert _through_sdk(item) != item


def _through_sdk(item: dict[str, Any]) -> Any:
    """Read into the SDK's typed model and written again: fields that it does not know are gone."""
    return _plain(_typed(item, "V1beta1InferenceService"))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if not hasattr(value, "attribute_map"):
        return value
    fields = {wire: getattr(value, name) for name, wire in value.attribute_map.items()}
    # The SDK sets one default of its own, an empty name.
    return {wire: _plain(item) for wire, item in fields.items() if item not in (None, "")}


def _typed(value: Any, kind: str) -> Any:
    if kind.startswith(("list[", "dict(")):
        inner = kind[5:-1].split(", ")[-1]
        return (
            [_typed(item, inner) for item in value]
            if kind.startswith("list[")
            else {key: _typed(item, inner) for key, item in value.items()}
        )
    model = getattr(kserve, kind, None) or getattr(client, kind, None)
    if model is None or not hasattr(model, "openapi_types"):
        return value
    fields = {wire: name for name, wire in model.attribute_map.items()}
    known = {
        fields[wire]: _typed(item, model.openapi_types[fields[wire]])
        for wire, item in value.items()
        if wire in fields
    }
    return model(**known)


# Of charts that no cluster here has had: their fields are those of public documentation (docs/platform.md).
OF_PARTS = {
    "external-secrets.io/v1/ClusterSecretStore",
    "external-secrets.io/v1/ExternalSecret",
    "gateway.envoyproxy.io/v1alpha1/EnvoyProxy",
    "gateway.networking.k8s.io/v1/GatewayClass",
    "karpenter.k8s.aws/v1/EC2NodeClass",
    "karpenter.sh/v1/NodePool",
    "kueue.x-k8s.io/v1beta2/ClusterQueue",
    "kueue.x-k8s.io/v1beta2/LocalQueue",
    "kueue.x-k8s.io/v1beta2/ResourceFlavor",
}


def test_every_other_kind_is_one_that_a_cluster_was_seen_to_accept() -> None:
    others = {
        f"{item['apiVersion']}/{item['kind']}" for item in _rendered() if item["apiVersion"] not in BUILT_IN
    }
    assert others - OF_PARTS == {
        "argoproj.io/v1alpha1/AppProject",
        "argoproj.io/v1alpha1/Application",
        "gateway.networking.k8s.io/v1/Gateway",
        "gateway.networking.k8s.io/v1/HTTPRoute",
        "serving.kserve.io/v1alpha1/ClusterServingRuntime",
        "serving.kserve.io/v1alpha1/ClusterStorageContainer",
        "serving.kserve.io/v1beta1/InferenceService",
    }
