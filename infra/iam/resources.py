"""Policies that resources have: buckets, keys, queues."""

from typing import Any

from infra.declarations import naming
from infra.declarations.cloud import Cloud
from infra.iam.document import ALL, Document, Statement, denied_to_all, document, granted


def encrypted_ways_only(bucket: str) -> list[Statement]:
    """TLS of at least 1.2 for everybody."""
    arn = naming.bucket_arn(bucket)
    both = (arn, f"{arn}/*")
    return [
        denied_to_all("TlsOnly", ("s3:*",), both, {"Bool": {"aws:SecureTransport": "false"}}),
        denied_to_all("NewTls", ("s3:*",), both, {"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
    ]


def own_key_only(bucket: str) -> Statement:
    """Objects are encrypted as the bucket says; an upload that asks for another way is refused."""
    other = {
        "StringNotEqualsIfExists": {"s3:x-amz-server-side-encryption": "aws:kms"},
        "Null": {"s3:x-amz-server-side-encryption": "false"},
    }
    return denied_to_all("OwnKeyOnly", ("s3:PutObject",), (f"{naming.bucket_arn(bucket)}/*",), other)


def takes_logs_of(cloud: Cloud, bucket: str) -> Statement:
    """Access logs that S3 writes for buckets of this account."""
    of = {
        "StringEquals": {"aws:SourceAccount": cloud.account},
        "ArnLike": {"aws:SourceArn": naming.bucket_arn(f"{naming.PROJECT}-*")},
    }
    logging = {"Service": "logging.s3.amazonaws.com"}
    return granted("AccessLogs", logging, ("s3:PutObject",), (f"{naming.bucket_arn(bucket)}/*",), of)


def takes_records_of(cloud: Cloud, service: str, source: str, bucket: str) -> list[Statement]:
    """What CloudTrail and Config need: to see whose bucket it is, and to write below the account's prefix."""
    arn, who = naming.bucket_arn(bucket), {"Service": service}
    of: dict[str, Any] = {
        "StringEquals": {"aws:SourceAccount": cloud.account},
        "ArnLike": {"aws:SourceArn": source},
    }
    kept = {**of, "StringEquals": {**of["StringEquals"], "s3:x-amz-acl": "bucket-owner-full-control"}}
    place = f"{arn}/AWSLogs/{cloud.account}/*"
    looks = ("s3:GetBucketAcl", "s3:ListBucket")
    return [
        granted("Look", who, looks, (arn,), of),
        granted("Write", who, ("s3:PutObject",), (place,), kept),
    ]


def key(cloud: Cloud, *users: Statement) -> Document:
    """The account decides by its IAM policies, and these services may use the key as their statements say."""
    account = {"AWS": f"arn:{naming.PARTITION}:iam::{cloud.account}:root"}
    return document(granted("Account", account, ("kms:*",), ALL), *users)


def logs_use(cloud: Cloud) -> Statement:
    """CloudWatch Logs encrypts the groups of this account."""
    groups = {
        "ArnLike": {
            "kms:EncryptionContext:aws:logs:arn": naming.arn(cloud, "logs", "log-group:*"),
        }
    }
    actions = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*")
    return granted("Logs", {"Service": f"logs.{cloud.region}.amazonaws.com"}, actions, ALL, groups)


def service_uses(cloud: Cloud, sid: str, service: str) -> Statement:
    """A service of AWS encrypts what it writes for this account."""
    actions = ("kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*")
    own = {"StringEquals": {"aws:SourceAccount": cloud.account}}
    return granted(sid, {"Service": service}, actions, ALL, own)


def queue(cloud: Cloud, env: str) -> Document:
    """EventBridge's rules of this account fill Karpenter's queue, over TLS."""
    arn = (naming.queue_arn(cloud, env),)
    rules = {"ArnLike": {"aws:SourceArn": naming.arn(cloud, "events", f"rule/{naming.base(env)}-*")}}
    return document(
        granted("Events", {"Service": "events.amazonaws.com"}, ("sqs:SendMessage",), arn, rules),
        denied_to_all("TlsOnly", ("sqs:*",), arn, {"Bool": {"aws:SecureTransport": "false"}}),
    )
