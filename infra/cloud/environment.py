"""An environment's cloud: which parts there are, and what each needs of the others."""

from collections.abc import Mapping
from dataclasses import replace

import pulumi
import pulumi_aws as aws

from infra.cloud.audit import Audit
from infra.cloud.backup import Backup
from infra.cloud.bootstrap import Bootstrap, existing, on_eks
from infra.cloud.budget import Budget
from infra.cloud.ci import Ci
from infra.cloud.cluster import Cluster
from infra.cloud.component import Place
from infra.cloud.database import Database
from infra.cloud.function import Functions, published
from infra.cloud.identity import Identities, Identity, identities
from infra.cloud.karpenter import Interruptions
from infra.cloud.keys import Keys
from infra.cloud.network import Network
from infra.cloud.nodes import Nodes
from infra.cloud.registry import Registry
from infra.cloud.roles import Boundary
from infra.cloud.secrets import Secrets
from infra.cloud.storage import Storage, store_bucket
from infra.declarations import naming
from infra.declarations.cloud import Cloud
from infra.declarations.environment import Environment
from infra.declarations.errors import DeclarationError, problem
from infra.declarations.repository import Repository

_NO_COPY = ("logs", "velero")  # what is a copy itself, or may be lost


def create(repository: Repository, env: str) -> Cluster | None:
    """Registers the cloud of an environment, and Argo CD in its cluster. Raises DeclarationError before anything."""
    environment = repository.environments.get(env)
    if environment is None or environment.cluster != "eks" or environment.cloud is None:
        if environment is not None:
            existing(environment)
        return None
    cloud = environment.cloud
    provider = aws.Provider(
        "aws", region=cloud.region, default_tags={"tags": naming.tags(cloud, env)}, opts=None
    )
    opts = pulumi.ResourceOptions(providers=[provider])
    _refuse_another_account(cloud, env, provider)
    before = published(repository, environment, provider)
    place = Place(cloud, env)
    place = replace(place, limit=Boundary(place, opts).policy.arn)
    return _parts(repository, environment, place, before, opts)


def _refuse_another_account(cloud: Cloud, env: str, provider: aws.Provider) -> None:
    given = _account(env, provider)
    if given != cloud.account:
        fix = f"use credentials of {cloud.account}, or correct the stack file"
        text = f"{cloud.account!r} is not the account of these credentials, {given!r}; {fix}"
        raise DeclarationError(
            [problem(f"Pulumi.{env}.yaml", 1, ("config", "mainline:cloud", "account"), text)]
        )


def _account(env: str, provider: aws.Provider) -> str:
    try:
        return aws.get_caller_identity(opts=pulumi.InvokeOptions(provider=provider)).account_id
    except Exception as error:  # Pulumi raises nothing narrower for a call that failed
        reason = " ".join(str(error).split())
        fix = f"log in to the account of Pulumi.{env}.yaml, for example with `aws sso login`"
        raise pulumi.RunError(f"AWS does not say whose credentials these are: {reason}; {fix}") from None


def _parts(
    repository: Repository,
    environment: Environment,
    place: Place,
    before: Mapping[str, str],
    opts: pulumi.ResourceOptions,
) -> Cluster:
    keys = Keys(place, opts)
    network = Network(place, keys.cluster, opts)
    storage = Storage(environment, place, keys.data, opts)
    Registry(environment, place, keys.data, opts)
    cluster = Cluster(place, network, keys.cluster, opts)
    nodes = Nodes(place, network, cluster.name, opts)
    Interruptions(place, opts)
    pods = Identities(place, cluster.name, opts)
    for identity in identities(repository, environment, place):
        pods.add(identity)
    copied = [made.arn for purpose, made in storage.buckets.items() if purpose not in _NO_COPY]
    if place.cloud.database:
        database = Database(place, place.cloud.database, network, cluster.wall, keys.data, opts)
        pods.add(Identity(naming.role(place.env, "mlflow"), "mlflow", "mlflow", database.mlflow()))
        copied.append(database.instance.arn)
    Functions(repository, environment, place, before, keys.cluster, keys.data, opts)
    Secrets(place, keys.data, opts)
    Budget(place, opts)
    watched = store_bucket(environment)
    Audit(place, keys.audit, naming.bucket_arn(watched) if watched else None, opts)
    Backup(place, keys.data, copied, opts)
    if place.cloud.ci:
        Ci(environment, place, place.cloud.ci, opts)
    Bootstrap(environment, on_eks(place.cloud, place.env, cluster), [nodes, pods])
    return cluster
