"""Buckets: private, encrypted, versioned, reached by TLS only; the model store cannot lose an object."""

from collections.abc import Iterator
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.cloud.component import Component, Place, text
from infra.declarations import naming
from infra.declarations.environment import Environment
from infra.iam import resources
from infra.iam.document import Statement, document

_EncryptionRule = aws.s3.BucketServerSideEncryptionConfigurationRuleArgsDict
_LifecycleRule = aws.s3.BucketLifecycleConfigurationRuleArgsDict
_GIVE_UP_DAYS = 7  # parts of an upload that nobody finishes


@dataclass(frozen=True, slots=True)
class Bucket:
    """`locked_days`: nobody deletes a version before; `old_days`: versions that were replaced; `days`: all of it."""

    purpose: naming.Bucket
    name: str
    key: naming.Key | None  # None: S3's own key, all that access logs can be written with
    locked_days: int | None = None
    old_days: int = 90
    days: int | None = None
    statements: tuple[Statement, ...] = ()


def buckets(environment: Environment, place: Place) -> Iterator[Bucket]:
    """What an environment keeps: its models, the data of its jobs, its registry's artifacts, and the logs of all."""
    cloud, env = place.cloud, place.env
    keep = cloud.storage
    logs = naming.bucket(cloud, env, "logs")
    logging = (resources.takes_logs_of(cloud, logs),)
    yield Bucket("logs", logs, None, days=keep.log_days, statements=logging)
    own = store_bucket(environment)
    if own:
        yield Bucket("models", own, "data", locked_days=keep.lock_days, old_days=keep.old_version_days)
    for purpose, wanted in _wanted(environment, place):
        if wanted:
            yield Bucket(purpose, naming.bucket(cloud, env, purpose), "data", old_days=keep.old_version_days)


def _wanted(environment: Environment, place: Place) -> Iterator[tuple[naming.Bucket, bool]]:
    yield "dvc", environment.trains
    yield "mlflow", place.cloud.database is not None
    yield "velero", "velero" in environment.parts


def store_bucket(environment: Environment) -> str | None:
    """The model store's bucket, if it is S3's; other stores are somebody else's."""
    if not environment.store.startswith("s3://") or environment.endpoint or environment.credentials:
        return None
    return naming.bucket_of(environment.store)[0]


class Storage(Component):
    """`names`: purpose -> the bucket's name, an output that waits until its protection is in place."""

    def __init__(
        self, environment: Environment, place: Place, key: pulumi.Output[str], opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("Storage", place, opts)
        self.key, self.lock = key, place.cloud.storage.lock
        self.buckets: dict[str, aws.s3.Bucket] = {}
        for bucket in buckets(environment, place):
            self.buckets[bucket.purpose], _ = protected(self, bucket, key, self.lock)
        for purpose, made in self.buckets.items():
            if purpose != "logs":
                self._logged(purpose, made)
        aws.s3.AccountPublicAccessBlock(
            "account",
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self.child(),
        )
        aws.ebs.EncryptionByDefault("disks", enabled=True, opts=self.child())
        self.register_outputs({purpose: made.bucket for purpose, made in self.buckets.items()})

    def _logged(self, purpose: str, made: aws.s3.Bucket) -> None:
        logs = self.buckets["logs"].bucket
        aws.s3.BucketLogging(
            purpose, bucket=made.bucket, target_bucket=logs, target_prefix=f"{purpose}/", opts=self.child()
        )


def protected(
    owner: Component, bucket: Bucket, key: pulumi.Input[str], lock: str
) -> tuple[aws.s3.Bucket, aws.s3.BucketPolicy]:
    """A bucket with everything that keeps it private and whole, and its policy, which its writers wait for."""
    made = aws.s3.Bucket(
        bucket.purpose,
        bucket=bucket.name,
        object_lock_enabled=bucket.locked_days is not None,
        force_destroy=False,
        opts=owner.kept(),
    )
    name, it, opts = bucket.purpose, made.bucket, owner.child()
    aws.s3.BucketPublicAccessBlock(
        name,
        bucket=it,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=opts,
    )
    rule: aws.s3.BucketOwnershipControlsRuleArgsDict = {"object_ownership": "BucketOwnerEnforced"}
    aws.s3.BucketOwnershipControls(name, bucket=it, rule=rule, opts=opts)
    aws.s3.BucketVersioning(name, bucket=it, versioning_configuration={"status": "Enabled"}, opts=opts)
    aws.s3.BucketServerSideEncryptionConfiguration(
        name, bucket=it, rules=[_encrypted(bucket, key)], opts=opts
    )
    aws.s3.BucketLifecycleConfiguration(name, bucket=it, rules=list(_lifecycle(bucket)), opts=opts)
    policy = aws.s3.BucketPolicy(name, bucket=it, policy=text(document(*_policy(bucket))), opts=opts)
    if bucket.locked_days is not None:
        aws.s3.BucketObjectLockConfiguration(
            name,
            bucket=it,
            rule={"default_retention": {"mode": lock, "days": bucket.locked_days}},
            opts=opts,
        )
    return made, policy


def _policy(bucket: Bucket) -> list[Statement]:
    own = [resources.own_key_only(bucket.name)] if bucket.key else []
    return [*resources.encrypted_ways_only(bucket.name), *own, *bucket.statements]


def _encrypted(bucket: Bucket, key: pulumi.Input[str]) -> _EncryptionRule:
    """A key of the bucket's own for each day: without it, KMS is asked, and paid, for each object."""
    if bucket.key is None:
        return {"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}
    return {
        "apply_server_side_encryption_by_default": {"sse_algorithm": "aws:kms", "kms_master_key_id": key},
        "bucket_key_enabled": True,
    }


def _lifecycle(bucket: Bucket) -> Iterator[_LifecycleRule]:
    yield {
        "id": "unfinished",
        "status": "Enabled",
        "filter": {},
        "abort_incomplete_multipart_upload": {"days_after_initiation": _GIVE_UP_DAYS},
    }
    yield {
        "id": "replaced",
        "status": "Enabled",
        "filter": {},
        "noncurrent_version_expiration": {"noncurrent_days": bucket.old_days},
        "expiration": {"expired_object_delete_marker": True},
    }
    if bucket.days is not None:
        yield {"id": "old", "status": "Enabled", "filter": {}, "expiration": {"days": bucket.days}}
