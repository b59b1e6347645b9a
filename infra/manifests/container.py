"""What the restricted pod security standard asks of pods and containers, and our containers' resources."""

from typing import Any

from infra.declarations.environment import Environment
from infra.declarations.model import Resources
from infra.manifests.names import USER

Manifest = dict[str, Any]


def pod_security() -> Manifest:
    return {
        "fsGroup": USER,
        "runAsGroup": USER,
        "runAsNonRoot": True,
        "runAsUser": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def resources(wanted: Resources) -> Manifest:
    """Memory is limited to what is requested; CPU is not limited, so that an idle core may be used."""
    return {
        "limits": {"memory": wanted.memory},
        "requests": {"cpu": wanted.cpu, "memory": wanted.memory},
    }


def env(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def store_access(environment: Environment) -> dict[str, Any]:
    """How a container reaches the store: its address, and a Secret by its name; empty where the pod's identity does."""
    access: dict[str, Any] = {}
    if environment.endpoint:
        access["env"] = env(AWS_ENDPOINT_URL=environment.endpoint)
    if environment.credentials:
        access["envFrom"] = [{"secretRef": {"name": environment.credentials}}]
    return access
