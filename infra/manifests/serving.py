"""One InferenceService for each released digest, in exactly the form that KServe's webhooks leave it in."""

import math
from typing import Any

from infra.declarations.environment import Environment, ModelOverride
from infra.declarations.model import ReplicaRange, Resources, ServedModel, Serving
from infra.declarations.quantity import amount
from infra.declarations.release import Release, ReleasedVersion
from infra.manifests import names
from infra.manifests.container import env as variables
from infra.manifests.container import pod_security
from infra.manifests.container import resources as container_resources
from infra.manifests.manifest import MODEL_LABEL, SYNC_WAVE, Manifest, manifest
from infra.manifests.network import egress, from_namespaces, policy

_POD = "serving.kserve.io/inferenceservice"  # KServe's label on the pods
_MONITORING = "monitoring"
# What Prometheus' usual rules for pods read. KServe's own annotation for that names the port of Knative's proxy.
_SCRAPED = {
    "prometheus.io/path": "/metrics",
    "prometheus.io/port": str(names.HTTP_PORT),
    "prometheus.io/scrape": "true",
}
_TO_END = 30  # seconds after draining: requests that have come already, and the end of the process


def serving(model: ServedModel, environment: Environment, release: Release) -> list[Manifest]:
    """What runs a model: its identity, its network, and a server for each version of the release."""
    objects = [_account(model), _network(model, environment)]
    for role, version in release.versions.items():
        objects.append(inference_service(model, environment, version, role))
        objects.append(_disruption(model, version))
    return objects


def inference_service(
    model: ServedModel, environment: Environment, version: ReleasedVersion, role: str
) -> Manifest:
    return manifest(
        "serving.kserve.io/v1beta1/InferenceService",
        names.service(model.name, version),
        names.MODELS,
        labels={MODEL_LABEL: model.name, "networking.kserve.io/visibility": "cluster-local"},
        annotations={
            SYNC_WAVE: "0",
            "modelFormat": "onnx",  # what KServe's webhook would add
            "serving.kserve.io/autoscalerClass": environment.autoscaler,
            "serving.kserve.io/deploymentMode": "Standard",
        },
        spec={"predictor": _predictor(model, environment, version, role)},
    )


def _predictor(model: ServedModel, environment: Environment, version: ReleasedVersion, role: str) -> Manifest:
    name = names.service(model.name, version)
    predictor: Manifest = {
        **_scale(model, environment, role),
        "annotations": _SCRAPED,
        "automountServiceAccountToken": False,
        "labels": {MODEL_LABEL: model.name},
        "model": _model(model, environment, version),
        "securityContext": pod_security(),
        "serviceAccountName": model.name,
        "storageContainerName": names.FETCHER,
        "terminationGracePeriodSeconds": environment.drain + _TO_END,
        "topologySpreadConstraints": [_spread(name)],
    }
    return predictor


def _model(model: ServedModel, environment: Environment, version: ReleasedVersion) -> Manifest:
    override = environment.models.get(model.name, ModelOverride()).resources
    wanted = Resources(
        cpu=override.cpu or model.resources.cpu, memory=override.memory or model.resources.memory
    )
    return {
        "env": variables(
            **named(model, version),
            V2SERVE_THREADS=str(_threads(wanted.cpu, model.serving.concurrency)),
            **_lane(model.serving),
        ),
        "modelFormat": {"name": "onnx"},
        "protocolVersion": "v2",
        "resources": container_resources(wanted),
        "runtime": names.RUNTIME,
        "storageUri": names.storage_uri(environment.store, model.name, version),
    }


def named(model: ServedModel, version: ReleasedVersion) -> dict[str, str]:
    """What tells v2serve which release it is."""
    return {
        "V2SERVE_MODEL_NAME": model.name,
        "V2SERVE_MODEL_DIGEST": version.digest,
        "V2SERVE_MODEL_VERSION": str(version.version),
        "V2SERVE_MODEL_RUN": version.run,
    }


def _threads(cpu: str, concurrency: int) -> int:
    """Of one inference: the cores that are asked for, shared by the inferences that run at once."""
    return min(256, max(1, math.ceil(amount(cpu) / concurrency)))


def _lane(serving: Serving) -> dict[str, str]:
    """Only what differs from the server's own defaults, so that a new field changes no running server."""
    told = {
        "V2SERVE_CONCURRENCY": serving.concurrency,
        "V2SERVE_QUEUE": serving.queue,
        "V2SERVE_MAX_BATCH": serving.batch,
        "V2SERVE_DEADLINE_SECONDS": serving.deadline,
    }
    usual = Serving()
    defaults = (usual.concurrency, usual.queue, usual.batch, usual.deadline)
    changed = zip(told.items(), defaults, strict=True)
    return {name: f"{value:g}" for (name, value), default in changed if value != default}


def _scale(model: ServedModel, environment: Environment, role: str) -> dict[str, Any]:
    wanted = replicas(model, environment, role)
    if environment.autoscaler == "none":
        return {"minReplicas": wanted.min}
    return {
        "minReplicas": wanted.min,
        "maxReplicas": wanted.max,
        "scaleMetric": "cpu",
        "scaleTarget": model.scale_at,
    }


def replicas(model: ServedModel, environment: Environment, role: str) -> ReplicaRange:
    """A candidate starts as large as what it may replace, so that no switch falls on one cold pod."""
    override = environment.models.get(model.name, ModelOverride()).replicas
    low = max(override.min or model.replicas.min, environment.floor)
    high = max(override.max or model.replicas.max, low)
    return ReplicaRange(min=1 if role == "standby" else low, max=high)


def _spread(name: str) -> Manifest:
    return {
        "labelSelector": {"matchLabels": {_POD: name}},
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
    }


def _disruption(model: ServedModel, version: ReleasedVersion) -> Manifest:
    name = names.service(model.name, version)
    return manifest(
        "policy/v1/PodDisruptionBudget",
        name,
        names.MODELS,
        labels={MODEL_LABEL: model.name},
        spec={"maxUnavailable": 1, "selector": {"matchLabels": {_POD: name}}},
    )


def _account(model: ServedModel) -> Manifest:
    return manifest(
        "v1/ServiceAccount",
        model.name,
        names.MODELS,
        labels={MODEL_LABEL: model.name},
        automountServiceAccountToken=False,
    )


def _network(model: ServedModel, environment: Environment) -> Manifest:
    callers = [environment.gateway.pods, _MONITORING]
    return policy(
        f"model-{model.name}",
        names.MODELS,
        {MODEL_LABEL: model.name},
        {MODEL_LABEL: model.name},
        policyTypes=["Egress", "Ingress"],
        ingress=[from_namespaces(callers, names.HTTP_PORT)],
        egress=egress(environment, environment.endpoint or environment.store),
    )
