"""Who pods are: a role of its own for each model, each job and each controller, by EKS Pod Identity."""

from collections.abc import Iterator
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.cloud.component import Component, Place
from infra.cloud.roles import Own, role
from infra.cloud.storage import store_bucket
from infra.declarations import naming
from infra.declarations.environment import Environment
from infra.declarations.model import by_function
from infra.declarations.repository import Repository
from infra.iam import balancing, controllers, pods
from infra.manifests import names


@dataclass(frozen=True, slots=True)
class Identity:
    """`namespace` and `account`: whose pods take the role. `team`: who answers for it, if not the platform."""

    role: str
    namespace: str
    account: str
    policy: Own
    team: str | None = None


def identities(repository: Repository, environment: Environment, place: Place) -> Iterator[Identity]:
    """Every identity that follows from the declarations alone. Releases are not asked: a promotion changes no role."""
    yield from _models(repository, environment, place)
    yield from _jobs(repository, environment, place)
    yield from _controllers(environment, place)


def _models(repository: Repository, environment: Environment, place: Place) -> Iterator[Identity]:
    if store_bucket(environment) is None:
        return
    cloud, env = place.cloud, place.env
    for name, model in sorted(repository.models.items()):
        if by_function(model, environment):
            continue  # its role is Lambda's to take: function.py
        policy = pods.model(cloud, env, environment.store, name)
        yield Identity(naming.model_role(env, name), names.MODELS, name, policy, model.owner)


def _jobs(repository: Repository, environment: Environment, place: Place) -> Iterator[Identity]:
    if not environment.trains:
        return
    cloud, env = place.cloud, place.env
    for name, job in sorted(repository.jobs.items()):
        yield Identity(
            naming.job_role(env, name), names.TRAINING, name, pods.job(cloud, env, name), job.owner
        )


def _controllers(environment: Environment, place: Place) -> Iterator[Identity]:
    cloud, env = place.cloud, place.env
    secrets, balancer = controllers.external_secrets(cloud, env), balancing.balancer(cloud, env)
    yield _controller(env, "karpenter", "kube-system", controllers.karpenter(cloud, env))
    yield _controller(env, "external-secrets", "external-secrets", secrets)
    yield _controller(env, "aws-load-balancer-controller", "kube-system", balancer)
    if "velero" in environment.parts:
        yield _controller(env, "velero", "velero", pods.velero(cloud, env))
    if environment.domain:
        policy = controllers.external_dns(environment.domain)
        yield _controller(env, "external-dns", "external-dns", policy)


def _controller(env: str, name: str, namespace: str, policy: Own) -> Identity:
    return Identity(naming.role(env, name), namespace, name, policy)


class Identities(Component):
    """Roles, and the associations that give them to pods."""

    def __init__(self, place: Place, cluster: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        super().__init__("Identities", place, opts)
        self.cluster = cluster

    def add(self, identity: Identity) -> None:
        place, child = self.place, self.child()
        trust = pods.trusts_pod(place.cloud, place.env, identity.namespace, identity.account)
        tags = {"team": identity.team} if identity.team else None
        own = role(place, identity.role, trust, child, own=identity.policy, tags=tags)
        aws.eks.PodIdentityAssociation(
            f"{identity.namespace}/{identity.account}",
            cluster_name=self.cluster,
            namespace=identity.namespace,
            service_account=identity.account,
            role_arn=own.arn,
            tags=tags,
            opts=child,
        )
