"""Who did what: CloudTrail into a bucket that nobody can empty, GuardDuty, and Config where it is wanted."""

import pulumi
import pulumi_aws as aws

from infra.cloud.component import Component, Place
from infra.cloud.roles import role
from infra.cloud.storage import Bucket, protected
from infra.declarations import naming
from infra.iam import resources
from infra.iam.document import Document, allow, document, trusts_service

_TRAIL, _CONFIG = "cloudtrail.amazonaws.com", "config.amazonaws.com"


class Audit(Component):
    """`watched`: the ARN of the model store's bucket, whose objects are watched one by one."""

    def __init__(
        self,
        place: Place,
        key: pulumi.Output[str],
        watched: str | None,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("Audit", place, opts)
        self.key = key
        if place.cloud.audit.trail:
            self._trail(watched)
        if place.cloud.audit.guardduty:
            self._guard()
        if place.cloud.audit.config:
            self._config()
        self.register_outputs({})

    def _bucket(
        self, purpose: naming.Bucket, service: str, source: str, *, locked: bool
    ) -> tuple[aws.s3.Bucket, aws.s3.BucketPolicy]:
        place, days = self.place, self.place.cloud.audit.trail_days
        name = naming.bucket(place.cloud, place.env, purpose)
        records = resources.takes_records_of(place.cloud, service, source, name)
        wanted = Bucket(
            purpose,
            name,
            "audit",
            locked_days=days if locked else None,
            old_days=1,
            days=days + 1,  # longer than the lock: a version that is still locked cannot expire
            statements=tuple(records),
        )
        return protected(self, wanted, self.key, place.cloud.storage.lock)

    def _trail(self, watched: str | None) -> None:
        cloud, name = self.place.cloud, naming.base(self.place.env)
        arn = naming.arn(cloud, "cloudtrail", f"trail/{name}")
        bucket, policy = self._bucket("trail", _TRAIL, arn, locked=True)
        events: list[aws.cloudtrail.TrailAdvancedEventSelectorArgsDict] = [
            {
                "name": "Changes of everything",
                "field_selectors": [{"field": "eventCategory", "equals": ["Management"]}],
            }
        ]
        if watched:
            events.append(_objects_of(watched))
        aws.cloudtrail.Trail(
            "trail",
            name=name,
            s3_bucket_name=bucket.bucket,
            kms_key_id=self.key,
            is_multi_region_trail=True,
            include_global_service_events=True,
            enable_log_file_validation=True,
            advanced_event_selectors=events,
            opts=self.kept(depends_on=[policy]),
        )

    def _guard(self) -> None:
        aws.guardduty.Detector(
            "guard", enable=True, finding_publishing_frequency="FIFTEEN_MINUTES", opts=self.child()
        )

    def _config(self) -> None:
        place, name = self.place, naming.base(self.place.env)
        cloud = place.cloud
        source = naming.arn(cloud, "config", "*")
        # Without a lock: Config does not deliver into a bucket that has one.
        bucket, policy = self._bucket("config", _CONFIG, source, locked=False)
        own = role(
            place,
            naming.role(place.env, "config"),
            trusts_service(_CONFIG, {"StringEquals": {"aws:SourceAccount": cloud.account}}),
            self.child(),
            own=_delivers(place, naming.bucket(cloud, place.env, "config")),
            managed=("service-role/AWS_ConfigRole",),
        )
        recorder = aws.cfg.Recorder(
            "config",
            name=name,
            role_arn=own.arn,
            recording_group={"all_supported": True, "include_global_resource_types": True},
            opts=self.child(),
        )
        channel = aws.cfg.DeliveryChannel(
            "config",
            name=name,
            s3_bucket_name=bucket.bucket,
            s3_kms_key_arn=self.key,
            opts=self.child(depends_on=[recorder, policy]),
        )
        aws.cfg.RecorderStatus(
            "config", name=recorder.name, is_enabled=True, opts=self.child(depends_on=[channel])
        )


def _objects_of(bucket: str) -> aws.cloudtrail.TrailAdvancedEventSelectorArgsDict:
    return {
        "name": "Who reads and writes models",
        "field_selectors": [
            {"field": "eventCategory", "equals": ["Data"]},
            {"field": "resources.type", "equals": ["AWS::S3::Object"]},
            {"field": "resources.ARN", "starts_withs": [f"{bucket}/"]},
        ],
    }


def _delivers(place: Place, bucket: str) -> Document:
    cloud, arn = place.cloud, naming.bucket_arn(bucket)
    audit = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": naming.key_alias(place.env, "audit")}}
    keys = (naming.arn(cloud, "kms", "key/*"),)
    return document(
        allow("Look", ("s3:GetBucketAcl", "s3:ListBucket"), (arn,)),
        allow("Deliver", ("s3:PutObject",), (f"{arn}/AWSLogs/{cloud.account}/*",)),
        allow("Encrypt", ("kms:Decrypt", "kms:GenerateDataKey"), keys, audit),
    )
