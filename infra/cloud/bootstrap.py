"""The one thing that is not synced from Git: Argo CD itself, and the root Application that brings everything else."""

import json
from collections.abc import Sequence

import pulumi
from pulumi_kubernetes import Provider
from pulumi_kubernetes.apiextensions import CustomResource, CustomResourcePatch
from pulumi_kubernetes.core.v1 import Namespace
from pulumi_kubernetes.helm.v3 import Release

from infra.cloud.cluster import Cluster
from infra.declarations import naming
from infra.declarations.cloud import Cloud
from infra.declarations.environment import Environment
from infra.declarations.parts import ARGO_CD
from infra.manifests import bootstrap, names
from infra.manifests.argocd import root

_MINUTES = 10  # for the chart's pods to be ready: machines may have to start first
_API = "argoproj.io/v1alpha1"


class Bootstrap(pulumi.ComponentResource):
    """`after`: what has to be there before pods can run."""

    def __init__(
        self, environment: Environment, cluster: Provider, after: Sequence[pulumi.Resource] = ()
    ) -> None:
        super().__init__("mainline:cloud:Bootstrap", f"bootstrap-{environment.name}")
        opts = pulumi.ResourceOptions(parent=self, provider=cluster, depends_on=list(after))
        space = Namespace(
            "argocd", metadata={"name": names.ARGOCD, "labels": bootstrap.security()}, opts=opts
        )
        release = Release(
            "argocd",
            name="argocd",
            namespace=names.ARGOCD,
            chart=ARGO_CD.name,
            version=ARGO_CD.version,
            repository_opts={"repo": ARGO_CD.repository},
            values=bootstrap.values(environment),
            atomic=True,
            timeout=_MINUTES * 60,
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[space])),
        )
        self._applications(environment, cluster, release)
        self.register_outputs({})

    def _applications(self, environment: Environment, cluster: Provider, release: Release) -> None:
        """Argo CD makes the project `default` when it starts; Git owns the root as soon as it has synced itself."""
        opts = pulumi.ResourceOptions(parent=self, provider=cluster, depends_on=[release])
        forced = {"pulumi.com/patchForce": "true"}
        project = CustomResourcePatch(
            "default",
            api_version=_API,
            kind="AppProject",
            metadata={"name": "default", "namespace": names.ARGOCD, "annotations": forced},
            spec=bootstrap.first_project(environment),
            opts=opts,
        )
        first = root(environment)
        CustomResource(
            "root",
            api_version=_API,
            kind="Application",
            metadata=first["metadata"],
            spec=first["spec"],
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[project])),
        )


def on_eks(cloud: Cloud, env: str, cluster: Cluster) -> Provider:
    """Whoever runs Pulumi logs in with the AWS command line; nothing of it is a secret or is kept."""
    made = cluster.cluster
    facts = pulumi.Output.all(made.endpoint, made.certificate_authority.data)
    kubeconfig = facts.apply(lambda told: _kubeconfig(cloud, env, *told))
    return Provider("cluster", kubeconfig=kubeconfig, opts=pulumi.ResourceOptions(depends_on=[cluster]))


def existing(environment: Environment) -> Bootstrap | None:
    """Where a stack names a context of the kubeconfig; elsewhere somebody else has installed Argo CD."""
    if environment.cluster != "existing" or environment.context is None:
        return None
    return Bootstrap(environment, Provider("cluster", context=environment.context))


def _kubeconfig(cloud: Cloud, env: str, endpoint: str, authority: str) -> str:
    name = naming.cluster(env)
    login = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "aws",
        "args": ["eks", "get-token", "--cluster-name", name, "--region", cloud.region],
        "interactiveMode": "Never",
    }
    server = {"server": endpoint, "certificate-authority-data": authority}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": server}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
        "users": [{"name": name, "user": {"exec": login}}],
    }
    return json.dumps(config, sort_keys=True)
