"""Secrets by reference: where External Secrets finds them in Secrets Manager, and what it calls them in the cluster."""

from infra.declarations import naming
from infra.declarations.environment import Environment
from infra.declarations.parts import MONITORING, PartName
from infra.manifests.manifest import Manifest, manifest

_STORE = "aws"
_REFRESH = "1h"
# Part -> the secret's name in Secrets Manager and in the cluster, and its namespace. Its keys are those of its JSON:
# MLFLOW_BACKEND_STORE_URI; user and password.
_READ: dict[PartName, tuple[str, str]] = {
    "mlflow": ("mlflow", "mlflow"),
    "prometheus": ("grafana", MONITORING),
}


def secrets(environment: Environment) -> list[Manifest]:
    """The store, and what parts read of it; nothing without External Secrets."""
    cloud = environment.cloud
    if cloud is None or "external-secrets" not in environment.parts:
        return []
    provider = {"aws": {"region": cloud.region, "service": "SecretsManager"}}
    store = manifest(
        "external-secrets.io/v1/ClusterSecretStore",
        _STORE,
        spec={"provider": provider, "refreshInterval": 300},
    )
    return [store, *(_secret(environment.name, name) for name in environment.parts if name in _READ)]


def _secret(env: str, part: PartName) -> Manifest:
    name, namespace = _READ[part]
    return manifest(
        "external-secrets.io/v1/ExternalSecret",
        name,
        namespace,
        spec={
            "dataFrom": [{"extract": {"key": naming.secret(env, name)}}],
            "refreshInterval": _REFRESH,
            "secretStoreRef": {"kind": "ClusterSecretStore", "name": _STORE},
            "target": {"creationPolicy": "Owner", "name": name},
        },
    )
