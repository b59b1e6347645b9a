"""The rendered objects as Pulumi resources, in render mode: the same paths and bytes as infra.render."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
from pulumi_kubernetes import Provider

from infra.declarations.repository import Repository
from infra.manifests.manifest import identity
from infra.render import applications, refuse_links


class Manifest(pulumi.CustomResource):
    """One Kubernetes object as it is, named by its identity for ever: a renamed resource deletes its own file."""

    def __init__(self, manifest: Mapping[str, Any], opts: pulumi.ResourceOptions) -> None:
        version = manifest["apiVersion"]
        token = f"kubernetes:{'core/v1' if version == 'v1' else version}:{manifest['kind']}"
        super().__init__(token, identity(manifest), dict(manifest), opts)


def register(repository: Repository, env: str, root: Path) -> None:
    """Registers every object of an environment, unless its stack says that only `mainline render` writes them.

    Raises as `applications` and `refuse_links` do.
    """
    folders = applications(repository, env)
    if not repository.environments[env].register_manifests:
        return
    refuse_links(root, env)
    for folder, manifests in folders.items():
        target = root / "clusters" / env / folder
        provider = Provider(folder, render_yaml_to_directory=str(target))
        for manifest in manifests:
            Manifest(manifest, pulumi.ResourceOptions(provider=provider))
