"""What every object has in common."""

from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]

MANAGED = {"app.kubernetes.io/managed-by": "mainline", "app.kubernetes.io/part-of": "mainline"}
MODEL_LABEL = "mainline.dev/model"
JOB_LABEL = "mainline.dev/job"
SYNC_WAVE = "argocd.argoproj.io/sync-wave"


def manifest(
    kind: str,
    name: str,
    namespace: str | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **body: Any,
) -> Manifest:
    """An object of a kind such as `policy/v1/PodDisruptionBudget`, with this repository's labels."""
    version, _, short = kind.rpartition("/")
    metadata: Manifest = {"name": name, "labels": {**MANAGED, **(labels or {})}}
    if namespace:
        metadata["namespace"] = namespace
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": version, "kind": short, "metadata": metadata, **body}


def path(manifest: Mapping[str, Any]) -> str:
    """Where pulumi-kubernetes' render mode puts the object, below the folder of its application."""
    metadata = manifest["metadata"]
    version = manifest["apiVersion"].replace("/", "_").replace(":", "_")
    folder = "0-crd" if manifest["kind"] == "CustomResourceDefinition" else "1-manifest"
    namespace = metadata.get("namespace", "default")
    return f"{folder}/{version}-{manifest['kind'].lower()}-{namespace}-{metadata['name']}.yaml"


def identity(manifest: Mapping[str, Any]) -> str:
    """apiVersion/kind/namespace/name: what makes two objects the same object."""
    metadata = manifest["metadata"]
    return "/".join(
        (manifest["apiVersion"], manifest["kind"], metadata.get("namespace", ""), metadata["name"])
    )
