"""Three keys: what the cluster keeps, what people keep, and what nobody may change afterwards."""

import pulumi
import pulumi_aws as aws

from infra.cloud.component import Component, Place, text
from infra.declarations import naming
from infra.iam import resources
from infra.iam.document import Document

_TO_THINK_AGAIN = 30  # days between asking for a key's end and its end


class Keys(Component):
    """Outputs: the keys' ARNs `cluster`, `data`, `audit`."""

    def __init__(self, place: Place, opts: pulumi.ResourceOptions) -> None:
        super().__init__("Keys", place, opts)
        cloud = place.cloud
        logs, backup = resources.logs_use(cloud), "backup.amazonaws.com"
        self.cluster = self._key("cluster", "Secrets of Kubernetes and logs", resources.key(cloud, logs))
        alarms = resources.service_uses(cloud, "Alarms", "cloudwatch.amazonaws.com")
        data = resources.key(cloud, resources.service_uses(cloud, "Backup", backup), alarms)
        self.data = self._key("data", "Models, data sets, results, secrets, the database", data)
        records = [
            resources.service_uses(cloud, "Trail", "cloudtrail.amazonaws.com"),
            resources.service_uses(cloud, "Config", "config.amazonaws.com"),
        ]
        self.audit = self._key("audit", "Records of who did what", resources.key(cloud, *records))
        self.register_outputs({"cluster": self.cluster, "data": self.data, "audit": self.audit})

    def _key(self, name: naming.Key, description: str, policy: Document) -> pulumi.Output[str]:
        key = aws.kms.Key(
            name,
            description=description,
            policy=text(policy),
            enable_key_rotation=True,
            deletion_window_in_days=_TO_THINK_AGAIN,
            opts=self.kept(),
        )
        alias = naming.key_alias(self.place.env, name)
        aws.kms.Alias(name, name=alias, target_key_id=key.key_id, opts=self.child())
        return key.arn
