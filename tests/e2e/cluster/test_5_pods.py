"""What KServe makes of a release on this cluster: pods and what they take, and what scales them."""

import time
from collections.abc import Iterator

import pytest

from infra.declarations.quantity import amount
from infra.declarations.release import ReleasedVersion
from tests.e2e.cluster.conftest import SETTLED, Cluster
from tests.e2e.cluster.fork import MODEL
from tests.e2e.cluster.kube import Item, wait
from tests.e2e.cluster.load import load

pytestmark = pytest.mark.cluster
MIB = 1 << 20
HPA = "autoscaling/v2/HorizontalPodAutoscaler"


def test_a_pod_under_load_takes_less_memory_than_its_limit(
    cluster: Cluster, stable: ReleasedVersion, figures: list[str]
) -> None:
    with load(cluster.told.gateway, MODEL, cluster.told.rate) as calls:
        time.sleep(20)
        pod = next(pod for pod in cluster.kube.pods(f"{MODEL}-{stable.short}") if _stays(pod))
        used = wait("the kubelet has measured it", lambda: _working_set(cluster, pod), 60)
    (container,) = pod["spec"]["containers"]
    limit = float(amount(container["resources"]["limits"]["memory"]))
    assert calls.failed() == []
    assert used < limit / 2
    figures.append(f"{MODEL}: {used / MIB:.0f} MiB in use of {limit / MIB:.0f} MiB, by the kubelet")


def _stays(pod: Item) -> bool:
    return "deletionTimestamp" not in pod["metadata"]


def _working_set(cluster: Cluster, pod: Item) -> int:
    """Bytes of its containers; 0 before they are measured."""
    summary = cluster.kube.raw(f"/api/v1/nodes/{pod['spec']['nodeName']}/proxy/stats/summary")
    found = [one for one in summary["pods"] if one["podRef"]["uid"] == pod["metadata"]["uid"]]
    containers = [container for one in found for container in one.get("containers", [])]
    return sum(container.get("memory", {}).get("workingSetBytes", 0) for container in containers)


@pytest.fixture
def scaled(cluster: Cluster, stable: ReleasedVersion) -> Iterator[str]:
    """The InferenceService's Deployment, in an environment that scales by CPU."""
    stack = cluster.fork.root / "Pulumi.e2e.yaml"
    before = stack.read_text()
    assert "mainline:autoscaler: none" in before
    stack.write_text(before.replace("mainline:autoscaler: none", "mainline:autoscaler: hpa"))
    try:
        cluster.fork.push("Scaled by CPU")
        yield f"{MODEL}-{stable.short}-predictor"
    finally:
        stack.write_text(before)
        cluster.fork.push("Not scaled")
    wait("the model is settled", lambda: _settled(cluster), 120)


def test_a_scaled_model_has_an_autoscaler_with_its_range_and_serves_without_metrics(
    cluster: Cluster, stable: ReleasedVersion, scaled: str, figures: list[str]
) -> None:
    with load(cluster.told.gateway, MODEL, cluster.told.rate) as calls:
        found = wait("KServe makes an autoscaler", lambda: cluster.kube.get(HPA, scaled, "models"), 120)
        wait("the model is settled", lambda: _settled(cluster), 120)
        time.sleep(20)
        assert _settled(cluster)  # a writer against Argo CD would show by now
    spec = found["spec"]
    (metric,) = spec["metrics"]
    assert spec["scaleTargetRef"]["name"] == scaled
    assert 1 <= spec["minReplicas"] < spec["maxReplicas"]
    assert metric["resource"]["name"] == "cpu"
    assert metric["resource"]["target"]["type"] == "Utilization"
    assert calls.failed() == []
    percent = metric["resource"]["target"]["averageUtilization"]
    figures.append(f"HPA: {spec['minReplicas']} to {spec['maxReplicas']} at {percent} % of CPU")


def _settled(cluster: Cluster) -> bool:
    return cluster.kube.applications()[f"model-{MODEL}"] == SETTLED
