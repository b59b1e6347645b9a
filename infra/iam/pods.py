"""What pods may do: a model reads its own artifacts, a job its own data, and neither anything else."""

from infra.declarations import naming
from infra.declarations.cloud import Cloud
from infra.iam.document import Condition, Document, Statement, allow, document, trusted

_AGENT = {"Service": "pods.eks.amazonaws.com"}


def trusts_pod(cloud: Cloud, env: str, namespace: str, account: str) -> Document:
    """EKS Pod Identity takes the role, for pods of one service account of this cluster."""
    condition = {
        "StringEquals": {
            "aws:SourceAccount": cloud.account,
            "aws:RequestTag/kubernetes-namespace": namespace,
            "aws:RequestTag/kubernetes-service-account": account,
        },
        "ArnEquals": {"aws:SourceArn": naming.cluster_arn(cloud, env)},
    }
    return document(trusted("Pods", _AGENT, ("sts:AssumeRole", "sts:TagSession"), condition))


def reads(cloud: Cloud, env: str, bucket: str, prefix: str) -> list[Statement]:
    """Objects below one prefix of a bucket, and their list; `prefix` ends with a slash."""
    arn = naming.bucket_arn(bucket)
    listed = {"StringLike": {"s3:prefix": [prefix, f"{prefix}*"]}}
    return [
        allow("Read", ("s3:GetObject",), (f"{arn}/{prefix}*",)),
        allow("List", ("s3:ListBucket",), (arn,), listed),
        decrypts(cloud, env, bucket),
    ]


def writes(cloud: Cloud, env: str, bucket: str, prefix: str) -> list[Statement]:
    """What `reads` gives, and new objects; an uploaded part that is given up may be removed, an object never."""
    arn = naming.bucket_arn(bucket)
    return [
        *reads(cloud, env, bucket, prefix),
        allow("Write", ("s3:AbortMultipartUpload", "s3:PutObject"), (f"{arn}/{prefix}*",)),
        encrypts(cloud, env, bucket),
    ]


def decrypts(cloud: Cloud, env: str, bucket: str) -> Statement:
    keys = (naming.arn(cloud, "kms", "key/*"),)
    return allow("Decrypt", ("kms:Decrypt",), keys, _only_of(cloud, env, bucket))


def encrypts(cloud: Cloud, env: str, bucket: str) -> Statement:
    keys = (naming.arn(cloud, "kms", "key/*"),)
    return allow("Encrypt", ("kms:GenerateDataKey",), keys, _only_of(cloud, env, bucket))


def _only_of(cloud: Cloud, env: str, bucket: str) -> Condition:
    """The id of a key is AWS' choice, so the key is named by its alias; a bucket key's context is the bucket."""
    return {
        "StringEquals": {
            "kms:ViaService": f"s3.{cloud.region}.amazonaws.com",
            "kms:EncryptionContext:aws:s3:arn": naming.bucket_arn(bucket),
        },
        "ForAnyValue:StringEquals": {"kms:ResourceAliases": naming.key_alias(env, "data")},
    }


def model(cloud: Cloud, env: str, store: str, name: str) -> Document:
    """Exactly the store's prefix of that model."""
    bucket, prefix = naming.bucket_of(store)
    return document(*reads(cloud, env, bucket, f"{prefix}{name}/"))


def job(cloud: Cloud, env: str, name: str) -> Document:
    """The job's own part of the DVC remote, of which it writes its checkpoints only.

    Results go to MLflow's server, and only a promotion fills the store.
    """
    bucket = naming.bucket(cloud, env, "dvc")
    kept = f"{naming.bucket_arn(bucket)}/{name}/checkpoints/*"
    return document(
        *reads(cloud, env, bucket, f"{name}/"),
        allow("Checkpoint", ("s3:AbortMultipartUpload", "s3:PutObject"), (kept,)),
        encrypts(cloud, env, bucket),
    )


def velero(cloud: Cloud, env: str) -> Document:
    """Its backups, of which it removes those that are old."""
    bucket = naming.bucket(cloud, env, "velero")
    expired = allow("Expire", ("s3:DeleteObject",), (f"{naming.bucket_arn(bucket)}/*",))
    return document(*writes(cloud, env, bucket, ""), expired)


def mlflow(cloud: Cloud, env: str) -> Document:
    """All artifacts of the registry: its server hands them out to those whom it lets in."""
    return document(*writes(cloud, env, naming.bucket(cloud, env, "mlflow"), ""))
