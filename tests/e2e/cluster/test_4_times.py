"""How long a commit takes to its first answer, and where the time goes."""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from statistics import median

import pytest

from infra.declarations.release import Release, ReleasedVersion
from tests.e2e.cluster.conftest import Cluster
from tests.e2e.cluster.fork import MODEL
from tests.e2e.cluster.kube import APPLICATION, SERVICE, Kube
from tests.e2e.cluster.load import load

pytestmark = pytest.mark.cluster


def _condition(pod: dict, kind: str) -> bool:
    return any(one["type"] == kind and one["status"] == "True" for one in pod["status"].get("conditions", []))


def _steps(kube: Kube, commit: str, version: ReleasedVersion) -> dict[str, Callable[[], bool]]:
    """In the order in which they come; each is asked for until it is true."""
    name = f"{MODEL}-{version.short}"

    def noticed() -> bool:
        item = kube.get(APPLICATION, f"model-{MODEL}", "argocd") or {}
        return bool(item["status"]["sync"].get("revision") == commit)

    def pod(kind: str) -> bool:
        return any(_condition(one, kind) for one in kube.pods(name))

    return {
        "Argo CD sees the commit": noticed,
        "InferenceService applied": lambda: kube.get(SERVICE, name, "models") is not None,
        "KServe made a pod that is scheduled": lambda: pod("PodScheduled"),
        "artifact fetched": lambda: pod("Initialized"),
        "model loaded, pod ready": lambda: pod("Ready"),
        "InferenceService ready": lambda: kube.ready(name),
        "route moved": lambda: set(kube.backends(MODEL)) == {name},
    }


def _timed(cluster: Cluster, version: ReleasedVersion) -> dict[str, float]:
    """Seconds since the push at which each step was first seen, polled ten times a second."""
    seen: dict[str, float] = {}
    with load(cluster.told.gateway, MODEL, cluster.told.rate) as calls:
        commit = cluster.fork.release(Release(stable=version), f"Promote version {version.version}")
        pushed = time.time()
        for step, true in _steps(cluster.kube, commit, version).items():
            while not true():
                assert time.time() < pushed + 180, step
                threading.Event().wait(0.1)
            seen[step] = time.time() - pushed
        cluster.serves(version)
        time.sleep(1)
        first = calls.first(version.digest)
        assert first is not None
        seen["first answer"] = first - pushed
        cluster.alone(version)
        seen["old server pruned, all settled"] = time.time() - pushed
    assert calls.failed() == []
    return seen


def test_a_commit_is_served_soon(cluster: Cluster, stable: ReleasedVersion, figures: list[str]) -> None:
    runs = [_timed(cluster, cluster.fork.version(100 + number)) for number in range(cluster.told.times)]
    for step in runs[0]:
        values = sorted(run[step] for run in runs)
        figures.append(f"{step}: median {median(values):.1f} s ({values[0]:.1f} to {values[-1]:.1f})")
    figures.append(
        f"{len(runs)} promotions at {datetime.now().isoformat(timespec='minutes')}, 0 calls failed"
    )
    assert median(run["first answer"] for run in runs) < 60
