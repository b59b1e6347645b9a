"""What Argo CD thinks of InferenceServices and HTTPRoutes, asked of its own command where that is installed."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.manifests.health import PATIENCE, health

LONG_AGO, NEVER = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
needs_argocd = pytest.mark.skipif(shutil.which("argocd") is None, reason="argocd is not on PATH")


def _condition(kind: str, status: str, since: str = NEVER, **more: Any) -> dict[str, Any]:
    return {"type": kind, "status": status, "lastTransitionTime": since, **more}


def _service(
    *conditions: dict[str, Any], seen: int = 2, created: str = NEVER, **model: Any
) -> dict[str, Any]:
    status = {"observedGeneration": seen, "conditions": list(conditions), "modelStatus": model}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "iris", "generation": 2, "creationTimestamp": created},
        **({"status": status} if conditions else {}),
    }


def _route(*conditions: dict[str, Any], parents: int = 1, created: str = NEVER) -> dict[str, Any]:
    parent = {"parentRef": {"name": "mainline"}, "conditions": list(conditions)}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "iris", "generation": 2, "creationTimestamp": created},
        "status": {"parents": [parent] * parents},
    }


def _failed(**info: Any) -> dict[str, Any]:
    return {"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": info}


READY = _condition("Ready", "True", LONG_AGO)
NOT_READY = _condition("Ready", "False", reason="PredictorNotReady")
EXITED = _failed(reason="ModelLoadFailed", exitCode=1, message="sha256:9 is not in s3://models")
TAKEN = _condition("Accepted", "True", observedGeneration=2)
FOUND = _condition("ResolvedRefs", "True", observedGeneration=2)
LOST = _condition(
    "ResolvedRefs", "False", observedGeneration=2, reason="BackendNotFound", message="no iris-1"
)

STATES = {
    "nothing is reported": (_service(), "Progressing", "has not reported yet"),
    "nothing is ever reported": (_service(created=LONG_AGO), "Degraded", "is its controller running?"),
    "a rollout of new pods": (
        _service(READY, _condition("PredictorReady", "True", reason="MinimumReplicasAvailable")),
        "Healthy", "ready",
    ),
    "a rollout of new pods that is stuck": (
        _service(
            _condition("Ready", "True", LONG_AGO),
            _condition("PredictorReady", "True", LONG_AGO, reason="MinimumReplicasAvailable"),
        ),
        "Degraded", "new pods are not ready for 90 seconds, by their image",
    ),
    "a rollout that was finished long ago": (
        _service(
            READY, _condition("PredictorReady", "True", LONG_AGO, reason="NewReplicaSetAvailable")
        ),
        "Healthy", "ready",
    ),
    "the generation of the Deployment, as KServe writes it": (_service(READY, seen=7), "Healthy", "ready"),
    "ready": (_service(_condition("Ready", "True"), transitionStatus="UpToDate"), "Healthy", "ready"),
    "ready again after a failure": (_service(_condition("Ready", "True"), **EXITED), "Healthy", "ready"),
    "ready and not stopped": (
        _service(_condition("Ready", "True"), _condition("Stopped", "False")), "Healthy", "ready",
    ),
    "stopped": (_service(NOT_READY, _condition("Stopped", "True")), "Suspended", "stopped by its annotation"),
    "starting": (
        _service(NOT_READY, _condition("PredictorReady", "False", message="has no ready pod")),
        "Progressing", "not ready; PredictorReady is False, has no ready pod",
    ),
    "starting for too long": (
        _service(_condition("Ready", "False", LONG_AGO), transitionStatus="InProgress"),
        "Degraded", f"not ready for {PATIENCE} seconds, by its image, its node or its start",
    ),
    "an object that is missing": (
        _service(NOT_READY, **EXITED),
        "Degraded", "the model did not load: ModelLoadFailed, exit code 1, sha256:9 is not in s3://models",
    ),
    "a failure without a word": (_service(NOT_READY, **_failed()), "Degraded", "the model did not load: no reason"),
    "a deployment that is given up": (
        _service(NOT_READY, _condition("PredictorReady", "False", reason="ProgressDeadlineExceeded")),
        "Degraded", "ProgressDeadlineExceeded",
    ),
    "a route that nobody took": (_route(parents=0), "Progressing", "no Gateway has taken the route yet"),
    "a route that nobody takes": (_route(parents=0, created=LONG_AGO), "Degraded", "does its parent exist?"),
    "a route that is taken": (_route(TAKEN, FOUND, created=LONG_AGO), "Healthy", "accepted by every Gateway"),
    "a route with two parents": (_route(TAKEN, FOUND, parents=2), "Healthy", "accepted by every Gateway"),
    "a route that changed": (
        _route(_condition("Accepted", "True", observedGeneration=1)), "Progressing", "has not seen this generation yet",
    ),
    "a route that is not decided": (_route(FOUND), "Progressing", "has not accepted the route yet"),
    "a route without its server": (_route(TAKEN, LOST), "Degraded", "Gateway mainline: BackendNotFound, no iris-1"),
    "a route that is refused": (
        _route(_condition("Accepted", "False", observedGeneration=2, reason="NotAllowedByListeners")),
        "Degraded", "Gateway mainline: NotAllowedByListeners, ",
    ),
}  # fmt: skip


def _asked(folder: Path, item: dict[str, Any]) -> str:
    settings, sample = folder / "argocd-cm.yaml", folder / "sample.yaml"
    settings.write_text(yaml.safe_dump(health()))
    sample.write_text(yaml.safe_dump(item))
    command = ["argocd", "admin", "settings", "resource-overrides", "health", str(sample)]
    done = subprocess.run(
        [*command, "--argocd-cm-path", str(settings)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_argocd
@pytest.mark.parametrize("state", STATES)
def test_argo_cd_judges(state: str, tmp_path: Path) -> None:
    item, status, message = STATES[state]
    answer = _asked(tmp_path, item)
    assert f"STATUS: {status}\n" in answer
    assert message in answer


def test_both_kinds_that_a_rollout_waits_for_are_judged_and_no_other() -> None:
    kinds = {key.removeprefix("resource.customizations.health.") for key in health()["data"]}
    assert kinds == {"gateway.networking.k8s.io_HTTPRoute", "serving.kserve.io_InferenceService"}


def test_a_server_may_be_late_for_less_time_than_a_revert_has() -> None:
    assert PATIENCE < 120
