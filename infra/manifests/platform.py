"""What every model needs: namespaces, the serving runtime, the fetcher of artifacts, and the gateway."""

from typing import Any

from infra.declarations.environment import Environment
from infra.declarations.model import Resources
from infra.manifests import names
from infra.manifests.container import container_security, env, resources, store_access
from infra.manifests.manifest import SYNC_WAVE, Manifest, manifest
from infra.manifests.network import denied

_SECURITY = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("audit", "enforce", "warn")}

_EVERYWHERE = "0.0.0.0"  # noqa: S104 (a pod's own address is not known before it runs; NetworkPolicies decide)
_SCRATCH = "/tmp"  # noqa: S108 (an emptyDir of the pod)


def platform(environment: Environment) -> list[Manifest]:
    spaces = [_namespace(name) for name in (names.MODELS, names.TRAINING, names.GATEWAY)]
    walls = [denied(names.MODELS), denied(names.TRAINING)]
    return [*spaces, *walls, _runtime(environment), _fetcher(environment), _gateway(environment)]


def _namespace(name: str) -> Manifest:
    # Before everything inside it, and never pruned or deleted by a slip: that takes everything along.
    annotations = {SYNC_WAVE: "-1", "argocd.argoproj.io/sync-options": "Prune=confirm,Delete=confirm"}
    return manifest("v1/Namespace", name, labels=_SECURITY, annotations=annotations)


def _runtime(environment: Environment) -> Manifest:
    return manifest(
        "serving.kserve.io/v1alpha1/ClusterServingRuntime",
        names.RUNTIME,
        spec={
            "containers": [_server(environment)],
            "protocolVersions": ["v2"],
            "supportedModelFormats": [{"name": "onnx", "version": "1"}],
            "volumes": [{"emptyDir": {}, "name": "tmp"}],
        },
    )


def _server(environment: Environment) -> Manifest:
    return {
        "name": "kserve-container",
        "image": environment.images.v2serve,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "v2serve", "serve"],
        "env": env(
            V2SERVE_MODEL_DIR="/mnt/models",
            V2SERVE_HOST=_EVERYWHERE,
            V2SERVE_PORT=str(names.HTTP_PORT),
            V2SERVE_DRAIN_SECONDS=str(environment.drain),
        ),
        "ports": [{"containerPort": names.HTTP_PORT, "name": "http", "protocol": "TCP"}],
        "resources": resources(Resources()),
        "securityContext": container_security(),
        "volumeMounts": [{"mountPath": _SCRATCH, "name": "tmp"}],
        **_probes(),
    }


def _probes() -> dict[str, Any]:
    """Five minutes to load, while nothing listens; then out of the Service within 15 s, and a restart after 30 s."""
    # One second, the default, is short for a server whose only core is busy with a request.
    ready = {"httpGet": {"path": "/v2/health/ready", "port": names.HTTP_PORT}, "timeoutSeconds": 5}
    live = {"httpGet": {"path": "/v2/health/live", "port": names.HTTP_PORT}, "timeoutSeconds": 5}
    return {
        "startupProbe": {**ready, "failureThreshold": 300, "periodSeconds": 1},
        "readinessProbe": {**ready, "failureThreshold": 3, "periodSeconds": 5},
        "livenessProbe": {**live, "failureThreshold": 3, "periodSeconds": 10},
    }


def _fetcher(environment: Environment) -> Manifest:
    """KServe appends the URI and the folder to the command, and merges this into its init container."""
    return manifest(
        "serving.kserve.io/v1alpha1/ClusterStorageContainer",
        names.FETCHER,
        spec={
            "container": {
                "name": "storage-initializer",
                "image": environment.images.v2serve,
                "imagePullPolicy": "IfNotPresent",
                "command": ["python", "-m", "v2serve", "fetch", "--try"],
                "resources": resources(Resources(cpu="100m")),
                "securityContext": container_security(),
                **store_access(environment),
            },
            "supportedUriFormats": [{"prefix": f"{environment.store}/"}],
            "workloadType": "initContainer",
        },
    )


def _gateway(environment: Environment) -> Manifest:
    listener: Manifest = {"name": "http", "port": 80, "protocol": "HTTP"}
    if environment.gateway.certificate:
        tls = {"certificateRefs": [{"name": environment.gateway.certificate}], "mode": "Terminate"}
        listener = {"name": "https", "port": 443, "protocol": "HTTPS", "tls": tls}
    if environment.domain:
        listener["hostname"] = environment.domain
    routes = {"matchLabels": {"kubernetes.io/metadata.name": names.MODELS}}
    listener["allowedRoutes"] = {"namespaces": {"from": "Selector", "selector": routes}}
    spec = {"gatewayClassName": environment.gateway.class_name, "listeners": [listener]}
    return manifest("gateway.networking.k8s.io/v1/Gateway", names.PROJECT, names.GATEWAY, spec=spec)
