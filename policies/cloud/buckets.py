"""Buckets are closed to the world, encrypted, and keep what was overwritten."""

from collections.abc import Iterator, Sequence
from typing import Any

from policies.cloud.resource import (
    Facts,
    Found,
    Resource,
    Rule,
    allowed,
    document,
    holds,
    listed,
    part,
    refers_to,
)

_BUCKET = "aws:s3/bucket:Bucket"
_BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
_BLOCKS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
_POLICY = "aws:s3/bucketPolicy:BucketPolicy"
_ACL = "aws:s3/bucketAcl:BucketAcl"
_ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
_VERSIONING = "aws:s3/bucketVersioning:BucketVersioning"
_PRIVATE = (None, "private", "log-delivery-write", "bucket-owner-full-control", "bucket-owner-read")


def _beside(bucket: Resource, kind: str, resources: Sequence[Resource]) -> list[Resource]:
    return [one for one in resources if one.kind == kind and refers_to(one, "bucket", bucket)]


def _public(resources: Sequence[Resource], _: Facts) -> Iterator[Found]:
    for bucket in (one for one in resources if one.kind == _BUCKET):
        blocks = _beside(bucket, _BLOCK, resources)
        if not blocks:
            yield Found(bucket, "has no BucketPublicAccessBlock; add one with all four switches on")
        for block in blocks:
            off = [name for name in _BLOCKS if not holds(block.props.get(name), True)]
            if off:
                yield Found(block, f"leaves {', '.join(off)} off; switch all four on")
    yield from (found for one in resources for found in _opened(one))


def _opened(one: Resource) -> Iterator[Found]:
    """Lists and policies that give a bucket to everybody."""
    if one.kind in (_BUCKET, _ACL) and not holds(one.props.get("acl"), *_PRIVATE):
        yield Found(one, f"acl {one.props['acl']!r} opens the bucket; leave it out")
    if one.kind == _POLICY:
        for statement in allowed(document(one.props.get("policy")) or {}):
            if _everybody(statement.get("Principal")) and not statement.get("Condition"):
                yield Found(one, "allows everybody; name the roles in Principal")


def _everybody(principal: Any) -> bool:
    given = principal.get("AWS") if isinstance(principal, dict) else principal
    return "*" in listed(given)


def _unencrypted(resources: Sequence[Resource], _: Facts) -> Iterator[Found]:
    for bucket in (one for one in resources if one.kind == _BUCKET):
        if not _beside(bucket, _ENCRYPTION, resources):
            fix = "add a BucketServerSideEncryptionConfiguration with aws:kms"
            yield Found(bucket, f"says nothing about encryption; {fix}")


def _unversioned(resources: Sequence[Resource], _: Facts) -> Iterator[Found]:
    for bucket in (one for one in resources if one.kind == _BUCKET):
        if not any(_enabled(one) for one in _beside(bucket, _VERSIONING, resources)):
            fix = "add a BucketVersioning whose status is Enabled"
            yield Found(bucket, f"forgets what is overwritten or deleted; {fix}")


def _enabled(one: Resource) -> bool:
    return holds(part(one.props.get("versioningConfiguration"), "status"), "Enabled")


PUBLIC = Rule("public-buckets", "No bucket is open to the world.", _public)
UNENCRYPTED = Rule("unencrypted-buckets", "Every bucket says how it is encrypted.", _unencrypted)
UNVERSIONED = Rule("unversioned-buckets", "Every bucket keeps the versions of what it holds.", _unversioned)
