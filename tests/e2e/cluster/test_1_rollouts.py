"""Rollouts under a steady load through the gateway: no call is lost, and no digest answers that Git does not allow."""

import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kubernetes.client.exceptions import ApiException

from infra.declarations.release import Candidate, Header, Release, ReleasedVersion
from tests.e2e.cluster.conftest import Cluster
from tests.e2e.cluster.fork import MODEL
from tests.e2e.cluster.kube import wait
from tests.e2e.cluster.load import Load, ask, interval, load, plausible

pytestmark = pytest.mark.cluster


def _allowed(calls: Load, *versions: ReleasedVersion) -> None:
    assert calls.failed() == []
    assert set(calls.digests()) <= {version.digest for version in versions}
    assert len(calls.answers) > 50


def _candidate(version: ReleasedVersion, **mode: object) -> Candidate:
    return Candidate.model_validate({**version.model_dump(), **mode})


def _routed(cluster: Cluster, shares: dict[str, int]) -> None:
    wait(f"the route is {shares}", lambda: cluster.kube.backends(MODEL) == shares, 150, 0.25)
    time.sleep(2)  # until the data plane has it too


def test_a_promotion_loses_no_call(cluster: Cluster, stable: ReleasedVersion, figures: list[str]) -> None:
    new = cluster.fork.version(2)
    with load(cluster.told.gateway, MODEL, cluster.told.rate) as calls:
        cluster.fork.release(Release(stable=new), "Promote version 2")
        cluster.serves(new)
        cluster.alone(new)
        time.sleep(3)
    _allowed(calls, stable, new)
    assert calls.last(stable.digest) < calls.first(new.digest) + 2  # one switch
    figures.append(f"promotion: {len(calls.answers)} calls, {len(calls.failed())} failed")


def test_a_revert_loses_no_call_and_is_live_within_two_minutes(
    cluster: Cluster, stable: ReleasedVersion, figures: list[str]
) -> None:
    new = cluster.fork.version(3)
    commit = cluster.fork.release(Release(stable=new), "Promote version 3")
    cluster.serves(new)
    with load(cluster.told.gateway, MODEL, cluster.told.rate) as calls:
        cluster.fork.revert(commit)
        begun = time.time()
        cluster.serves(stable)
        seconds = time.time() - begun
        cluster.alone(stable)
    _allowed(calls, stable, new)
    assert seconds < 120
    figures.append(
        f"revert: live after {seconds:.1f} s; {len(calls.answers)} calls, {len(calls.failed())} failed"
    )


def test_a_canary_gets_its_share_at_each_step(
    cluster: Cluster, stable: ReleasedVersion, figures: list[str]
) -> None:
    new = cluster.fork.version(4)
    names = (f"{MODEL}-{stable.short}", f"{MODEL}-{new.short}")
    with load(cluster.told.gateway, MODEL, cluster.told.rate) as calls:
        for share in (10, 50):
            made = Release(stable=stable, candidate=_candidate(new, mode="canary", traffic=share))
            cluster.fork.release(made, f"Canary of {share} %")
            _routed(cluster, dict(zip(names, (100 - share, share), strict=True)))
            since = time.time()
            time.sleep(600 / cluster.told.rate)
            counted = calls.digests(since)
            hits, total = counted[new.digest], sum(counted.values())
            low, high = interval(hits, total)
            figures.append(
                f"canary {share} %: {hits} of {total} calls, 95 % interval {low:.1%} to {high:.1%}"
            )
            assert plausible(hits, total, share / 100)
        cluster.fork.release(Release(stable=new), "Finish the canary")
        cluster.alone(new)
        time.sleep(2)
    _allowed(calls, stable, new)
    figures.append(f"canary to the end: {len(calls.answers)} calls, {len(calls.failed())} failed")


def test_a_header_alone_chooses_the_candidate(
    cluster: Cluster, stable: ReleasedVersion, figures: list[str]
) -> None:
    new = cluster.fork.version(5)
    asks = {"x-mainline-track": "next"}
    trial = _candidate(new, mode="header", header=Header(name="x-mainline-track", value="next"))
    with load(cluster.told.gateway, MODEL, cluster.told.rate) as calls:
        cluster.fork.release(Release(stable=stable, candidate=trial), "Version 5 for who asks")
        wait("who asks gets it", lambda: ask(cluster.told.gateway, MODEL, asks).digest == new.digest, 150)
        with load(cluster.told.gateway, MODEL, cluster.told.rate, asks) as asking:
            time.sleep(10)
        cluster.fork.release(Release(stable=stable), "Version 5 goes")
        cluster.alone(stable)
    _allowed(calls, stable)
    _allowed(asking, new)
    figures.append(f"header: {len(calls.answers)} calls without and {len(asking.answers)} with it, 0 failed")


def test_blue_green_goes_back_by_a_route_alone(
    cluster: Cluster, stable: ReleasedVersion, figures: list[str]
) -> None:
    new = cluster.fork.version(6)
    with load(cluster.told.gateway, MODEL, cluster.told.rate) as calls:
        cluster.fork.release(Release(stable=new, standby=stable), "Green, and blue stands by")
        cluster.serves(new)
        cluster.alone(new, stable)
        cluster.fork.release(Release(stable=stable, standby=new), "Back to blue")
        begun = time.time()
        cluster.serves(stable)
        figures.append(f"blue-green: back after {time.time() - begun:.1f} s")
        cluster.alone(new, stable)
    _allowed(calls, stable, new)
    figures.append(f"blue-green: {len(calls.answers)} calls, {len(calls.failed())} failed")


@pytest.fixture
def two(cluster: Cluster, stable: ReleasedVersion) -> Iterator[str]:
    """The InferenceService, with two pods that are ready."""
    name, stack = f"{MODEL}-{stable.short}", cluster.fork.root / "Pulumi.e2e.yaml"
    before = stack.read_text()
    stack.write_text(f"{before}  mainline:floor: 2\n")
    try:
        cluster.fork.push("Two replicas")
        wait("two pods are ready", lambda: len(_ready(cluster, name)) == 2, 120)
        yield name
    finally:
        stack.write_text(before)
        cluster.fork.push("One replica")
    wait("one pod is ready", lambda: len(_ready(cluster, name)) == 1, 120)


def test_two_replicas_lose_no_call_when_a_pod_is_deleted(
    cluster: Cluster, stable: ReleasedVersion, two: str, figures: list[str]
) -> None:
    with load(cluster.told.gateway, MODEL, cluster.told.rate) as calls:
        time.sleep(2)
        gone = _ready(cluster, two)[0]
        cluster.kube.delete("v1/Pod", gone, "models")
        wait("another pod is ready", lambda: len(set(_ready(cluster, two)) - {gone}) == 2, 120)
        time.sleep(10)
    _allowed(calls, stable)
    figures.append(f"pod deleted: {len(calls.answers)} calls, {len(calls.failed())} failed")


def test_a_drain_loses_no_call_and_the_budget_holds_its_second_eviction(
    cluster: Cluster, stable: ReleasedVersion, two: str, figures: list[str]
) -> None:
    """What kubectl drain does: the node takes no pods, and those on it are evicted one by one.

    Where there is no other node, the first pod comes back only when this one takes pods again.
    """
    with load(cluster.told.gateway, MODEL, cluster.told.rate) as calls:
        time.sleep(2)
        first, second = _ready(cluster, two)
        with _cordoned(cluster, first):
            cluster.kube.evict(first, "models")
            _held(cluster, second)
            time.sleep(5)
        wait("another pod is ready", lambda: len(set(_ready(cluster, two)) - {first}) == 2, 120)
        wait("the budget lets the second go", lambda: _evicted(cluster, second), 30)
        wait("both are others", lambda: len(set(_ready(cluster, two)) - {first, second}) == 2, 120)
        time.sleep(10)
    _allowed(calls, stable)
    figures.append(
        f"drain: {len(calls.answers)} calls, {len(calls.failed())} failed; too early an eviction: 429"
    )


@contextmanager
def _cordoned(cluster: Cluster, pod: str) -> Iterator[None]:
    found = cluster.kube.get("v1/Pod", pod, "models")
    assert found is not None
    node = found["spec"]["nodeName"]
    cluster.kube.merge("v1/Node", node, "", {"spec": {"unschedulable": True}})
    try:
        yield
    finally:
        cluster.kube.merge("v1/Node", node, "", {"spec": {"unschedulable": None}})


def _evicted(cluster: Cluster, pod: str) -> bool:
    cluster.kube.evict(pod, "models")
    return True


def _held(cluster: Cluster, pod: str) -> None:
    with pytest.raises(ApiException) as held:
        cluster.kube.evict(pod, "models")
    assert held.value.status == 429
    assert "disruption budget" in str(held.value.body)


def _ready(cluster: Cluster, name: str) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in cluster.kube.pods(name)
        if "deletionTimestamp" not in pod["metadata"]
        and any(
            one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", [])
        )
    ]


def test_controllers_that_are_restarted_lose_no_call_and_finish_what_they_began(
    cluster: Cluster, stable: ReleasedVersion, figures: list[str]
) -> None:
    if not cluster.told.restart:
        pytest.skip(
            "MAINLINE_E2E_RESTART is not set: a command that restarts Argo CD's and KServe's controllers"
        )
    new = cluster.fork.version(7)
    with load(cluster.told.gateway, MODEL, cluster.told.rate) as calls:
        cluster.fork.release(Release(stable=new), "Promote version 7")
        subprocess.run(shlex.split(cluster.told.restart), check=True, timeout=180)
        cluster.serves(new, 240)
        cluster.alone(new)
    _allowed(calls, stable, new)
    figures.append(f"controllers restarted: {len(calls.answers)} calls, {len(calls.failed())} failed")
