"""How Karpenter hears of machines that AWS takes back: EventBridge's rules and a queue."""

import json

import pulumi
import pulumi_aws as aws

from infra.cloud.component import Component, Place, text
from infra.declarations import naming
from infra.iam import resources

# Name of the rule -> what AWS calls the event, and who sends it.
EVENTS = {
    "health": ("aws.health", "AWS Health Event"),
    "interruption": ("aws.ec2", "EC2 Spot Instance Interruption Warning"),
    "rebalance": ("aws.ec2", "EC2 Instance Rebalance Recommendation"),
    "state": ("aws.ec2", "EC2 Instance State-change Notification"),
}
_SECONDS = 300  # a warning that is older is of no use


class Interruptions(Component):
    def __init__(self, place: Place, opts: pulumi.ResourceOptions) -> None:
        super().__init__("Interruptions", place, opts)
        self.queue = aws.sqs.Queue(
            "karpenter",
            name=naming.queue(place.env),
            message_retention_seconds=_SECONDS,
            sqs_managed_sse_enabled=True,
            opts=self.child(),
        )
        policy = text(resources.queue(place.cloud, place.env))
        aws.sqs.QueuePolicy("karpenter", queue_url=self.queue.url, policy=policy, opts=self.child())
        for name, (source, kind) in EVENTS.items():
            self._heard(name, {"source": [source], "detail-type": [kind]})
        self.register_outputs({"queue": self.queue.arn})

    def _heard(self, name: str, pattern: dict[str, list[str]]) -> None:
        rule = aws.cloudwatch.EventRule(
            name,
            name=f"{naming.base(self.place.env)}-{name}",
            description=pattern["detail-type"][0],
            event_pattern=json.dumps(pattern, sort_keys=True),
            opts=self.child(),
        )
        aws.cloudwatch.EventTarget(
            name, rule=rule.name, target_id="karpenter", arn=self.queue.arn, opts=self.child()
        )
