"""What must not serve gets no traffic, the old one serves on, the reason is shown, and the revert is live in time."""

import time
from collections.abc import Callable

import pytest

from infra.declarations.release import Release, ReleasedVersion
from tests.e2e.cluster.conftest import SETTLED, Cluster
from tests.e2e.cluster.fork import MODEL, Fork
from tests.e2e.cluster.kube import APPLICATION, ROUTE, SERVICE, Item, Kube, wait
from tests.e2e.cluster.load import load

pytestmark = pytest.mark.cluster


def _missing(fork: Fork) -> ReleasedVersion:
    """Nothing of it is in the store."""
    version = fork.version(20)
    (fork.store / MODEL / version.hex).rename(fork.store / MODEL / "elsewhere")
    return version.model_copy(update={"digest": "sha256:" + "9" * 64})


def _wrong(fork: Fork) -> ReleasedVersion:
    """Bytes of another digest lie where this one's should."""
    version = fork.version(21)
    wrong = version.model_copy(update={"digest": "sha256:" + "8" * 64})
    (fork.store / MODEL / version.hex).rename(fork.store / MODEL / wrong.hex)
    return wrong


def _unloadable(fork: Fork) -> ReleasedVersion:
    """The digest is right, and the graph is not one."""
    from v2serve.artifact import write_sums

    version = fork.version(22)
    folder = fork.store / MODEL / version.hex
    (folder / "model.onnx").write_bytes(b"not a graph")
    (folder / "SHA256SUMS").unlink()
    digest = write_sums(folder)
    folder.rename(folder.with_name(digest.removeprefix("sha256:")))
    return version.model_copy(update={"digest": digest})


CASES: dict[str, tuple[Callable[[Fork], ReleasedVersion], str]] = {
    "an object that is not in the store": (_missing, "the model did not load"),
    "bytes that are not the digest's": (_wrong, "the model did not load"),
    "a model that does not load": (_unloadable, "INVALID_PROTOBUF"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_gets_no_traffic_and_its_revert_is_live(
    case: str, cluster: Cluster, stable: ReleasedVersion, figures: list[str]
) -> None:
    make, reason = CASES[case]
    broken = make(cluster.fork)
    with load(cluster.told.gateway, MODEL, cluster.told.rate) as calls:
        commit = cluster.fork.release(Release(stable=broken), f"Release {case}")
        begun = time.time()
        wait("it is Degraded", lambda: _health(cluster)[0] == "Degraded", 150)
        noticed = time.time() - begun
        message = _why(cluster, f"{MODEL}-{broken.short}", reason)
        _retried(cluster, 2)
        assert set(cluster.kube.backends(MODEL)) == {f"{MODEL}-{stable.short}"}
        seconds = _reverted(cluster, commit, stable)
    assert calls.failed() == []
    assert set(calls.digests()) == {stable.digest}
    figures.append(f"{case}: Degraded after {noticed:.0f} s, {message!r}")
    figures.append(f"  settled {seconds:.0f} s after the revert; {len(calls.answers)} calls, 0 failed")


def _health(cluster: Cluster) -> tuple[str, str]:
    sync, health = cluster.kube.applications()[f"model-{MODEL}"]
    return health, sync


def _operation(cluster: Cluster) -> Item:
    """Argo CD's last or present attempt; between two there may be none."""
    item = cluster.kube.get(APPLICATION, f"model-{MODEL}", "argocd") or {}
    found: Item = item.get("status", {}).get("operationState", {})
    return found


def _why(cluster: Cluster, service: str, reason: str, seconds: float = 60) -> str:
    """What Argo CD shows beside the object, once an attempt has ended with it."""

    def shown() -> str:
        results = _operation(cluster).get("syncResult", {}).get("resources") or []
        told = [
            one.get("message", "")
            for one in results
            if one["kind"] == "InferenceService" and one["name"] == service
        ]
        return next((message for message in told if reason in message), "")

    return str(wait(f"{reason!r} is shown", shown, seconds))


def _retried(cluster: Cluster, times: int) -> None:
    """A retry is where the route once moved to a server that never started."""

    def count() -> int:
        return int(_operation(cluster).get("retryCount", 0))

    wait(f"{times} retries", lambda: count() >= times, 120)


def _reverted(cluster: Cluster, commit: str, stable: ReleasedVersion) -> float:
    """Seconds until Git, Argo CD and the cluster are one again."""
    cluster.fork.revert(commit)
    begun = time.time()
    cluster.alone(stable)
    seconds = time.time() - begun
    assert seconds < 120
    return seconds


def test_an_image_that_does_not_exist_leaves_the_old_pods_and_routes_nothing_new(
    cluster: Cluster, stable: ReleasedVersion, figures: list[str]
) -> None:
    """An image is the platform's, so first the pods of every model are replaced, and then nothing new starts."""
    stack = cluster.fork.root / "Pulumi.e2e.yaml"
    before, old = stack.read_text(), f"{MODEL}-{stable.short}"
    with load(cluster.told.gateway, MODEL, cluster.told.rate) as calls:
        stack.write_text(f"{before}  mainline:images: {{v2serve: 'mainline/v2serve:0.0.0-none'}}\n")
        image = cluster.fork.push("An image that nobody built")
        wait("a pod waits for it", lambda: len(cluster.kube.pods(old)) == 2, 90)
        release = cluster.fork.release(Release(stable=cluster.fork.version(23)), "And a release on it")
        begun = time.time()
        try:
            new = f"{MODEL}-{cluster.fork.version(23).short}"
            message = _why(cluster, new, "not ready for 90 seconds, by its image", 200)
            figures.append(f"no image: Degraded after {time.time() - begun:.0f} s, {message!r}")
            assert set(cluster.kube.backends(MODEL)) == {old}
        finally:
            cluster.fork.revert(release)
            seconds = _reverted(cluster, image, stable)
    assert calls.failed() == []
    assert set(calls.digests()) == {stable.digest}
    figures.append(f"  settled {seconds:.0f} s after the revert; {len(calls.answers)} calls, 0 failed")


CHANGES: dict[str, Callable[[Kube, str], None]] = {
    "a route that leads elsewhere": lambda kube, _: kube.merge(ROUTE, MODEL, "models", ELSEWHERE),
    "a route that is deleted": lambda kube, _: kube.delete(ROUTE, MODEL, "models"),
    "a server with more replicas": lambda kube, name: kube.merge(SERVICE, name, "models", MORE),
}
ELSEWHERE: Item = {"spec": {"rules": [{"backendRefs": [{"name": "elsewhere", "port": 80}]}]}}
MORE: Item = {"spec": {"predictor": {"minReplicas": 2}}}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_by_an_administrator_is_healed_within_a_minute(
    change: str, cluster: Cluster, stable: ReleasedVersion, figures: list[str]
) -> None:
    """Of a field that Git names; what Git does not name is for the policies to refuse."""
    name = f"{MODEL}-{stable.short}"

    def live() -> tuple[dict[str, int], int]:
        server = cluster.kube.get(SERVICE, name, "models") or {}
        return cluster.kube.backends(MODEL), server["spec"]["predictor"]["minReplicas"]

    before = live()
    CHANGES[change](cluster.kube, name)
    begun = time.time()
    assert live() != before
    wait("it is Git's again", lambda: live() == before, 60, 0.1)
    figures.append(f"{change}: healed after {time.time() - begun:.1f} s")
    wait("it is settled", lambda: cluster.kube.applications()[f"model-{MODEL}"] == SETTLED, 60)
    cluster.serves(stable, 30)
