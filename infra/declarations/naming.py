"""Names, tags and ARNs in AWS, computed from what is declared: cloud and manifests agree without asking AWS."""

import re
from hashlib import sha256
from typing import Literal
from urllib.parse import urlsplit

from infra.declarations.cloud import Cloud

PROJECT = "mainline"
PARTITION = "aws"
_LONGEST_ROLE = 64
_MARK = 8  # hex digits that keep shortened names apart

Bucket = Literal["models", "dvc", "mlflow", "logs", "trail", "config", "velero"]
Key = Literal["cluster", "data", "audit"]


def base(env: str) -> str:
    """The cluster, the VPC, the database and the vault of an environment are called this."""
    return f"{PROJECT}-{env}"


cluster = base


def fitted(name: str, longest: int) -> str:
    """A name that AWS takes: one that is too long ends with a digest of the whole, and stays the only one."""
    if len(name) <= longest:
        return name
    mark = sha256(name.encode()).hexdigest()[:_MARK]
    return f"{name[: longest - _MARK - 1].rstrip('-')}-{mark}"


def bucket(cloud: Cloud, env: str, purpose: Bucket) -> str:
    """Names of buckets are one space for the whole world, so the account is part of them; at most 63 characters."""
    return fitted(f"{base(env)}-{purpose}-{cloud.account}", 63)


def store(cloud: Cloud, env: str) -> str:
    """Where artifacts lie if the stack file says nothing else."""
    return f"s3://{bucket(cloud, env, 'models')}"


def is_bucket(name: str) -> bool:
    """Whether S3 takes the name; dots are allowed there and break TLS, so they are not allowed here."""
    return re.fullmatch(r"[a-z0-9][-a-z0-9]{1,61}[a-z0-9]", name) is not None


def bucket_of(address: str) -> tuple[str, str]:
    """`s3://bucket/some/prefix` as its bucket and `some/prefix/`; the prefix of a bucket's top is empty."""
    parts = urlsplit(address)
    path = parts.path.strip("/")
    return parts.netloc, f"{path}/" if path else ""


def bucket_arn(name: str) -> str:
    return f"arn:{PARTITION}:s3:::{name}"


def role_path(env: str) -> str:
    """All roles of an environment lie here, so that one statement can speak about them."""
    return f"/{PROJECT}/{env}/"


def role(env: str, *parts: str) -> str:
    """`mainline-dev-model-iris`: unique in the account, at most 64 characters."""
    return fitted("-".join((base(env), *parts)), _LONGEST_ROLE)


def model_role(env: str, model: str) -> str:
    return role(env, "model", model)


def job_role(env: str, job: str) -> str:
    return role(env, "job", job)


def role_arn(cloud: Cloud, env: str, name: str) -> str:
    return f"arn:{PARTITION}:iam::{cloud.account}:role{role_path(env)}{name}"


def boundary(env: str) -> str:
    """The policy that no role of the environment can exceed."""
    return role(env, "boundary")


def boundary_arn(cloud: Cloud, env: str) -> str:
    return f"arn:{PARTITION}:iam::{cloud.account}:policy{role_path(env)}{boundary(env)}"


def arn(cloud: Cloud, service: str, resource: str) -> str:
    """Of what lies in the environment's account and region."""
    return f"arn:{PARTITION}:{service}:{cloud.region}:{cloud.account}:{resource}"


def cluster_arn(cloud: Cloud, env: str) -> str:
    return arn(cloud, "eks", f"cluster/{cluster(env)}")


def key_alias(env: str, key: Key) -> str:
    return f"alias/{base(env)}-{key}"


def queue(env: str) -> str:
    """Where Karpenter hears that AWS takes a machine back."""
    return fitted(f"{base(env)}-karpenter", 80)


def queue_arn(cloud: Cloud, env: str) -> str:
    return arn(cloud, "sqs", queue(env))


def node_role(env: str) -> str:
    """What machines are: those of the system group, and those that Karpenter starts."""
    return role(env, "node")


def image_host(cloud: Cloud) -> str:
    return f"{cloud.account}.dkr.ecr.{cloud.region}.amazonaws.com"


def repository(cloud: Cloud, image: str) -> str | None:
    """`<host>/mainline/v2serve:0.1.0` as `mainline/v2serve`; None for an image of another registry."""
    host, _, path = image.partition("/")
    return re.split("[:@]", path)[0] if host == image_host(cloud) else None


def repository_arn(cloud: Cloud, name: str) -> str:
    return arn(cloud, "ecr", f"repository/{name}")


def secret(env: str, name: str) -> str:
    """The name in Secrets Manager; External Secrets may read what lies below the environment's path."""
    return f"{PROJECT}/{env}/{name}"


def secrets_arn(cloud: Cloud, env: str) -> str:
    """Of every secret of the environment: AWS adds six characters to each name."""
    return arn(cloud, "secretsmanager", f"secret:{PROJECT}/{env}/*")


def log_group(env: str, what: str) -> str:
    return f"/{PROJECT}/{env}/{what}"


def tags(cloud: Cloud, env: str) -> dict[str, str]:
    """The mandatory tags, which the provider puts on everything that takes tags."""
    return {
        "cost-centre": cloud.tags.cost_centre,
        "environment": env,
        "managed-by": "pulumi",
        "project": PROJECT,
        "team": cloud.tags.team,
    }
