"""The registry of container images: tags that never move, scanned when they come, copied to where they go next."""

import json

import pulumi
import pulumi_aws as aws

from infra.cloud.component import Component, Place
from infra.declarations import naming
from infra.declarations.cloud import Cloud
from infra.declarations.environment import Environment


def repositories(environment: Environment, cloud: Cloud) -> tuple[str, ...]:
    """Of the images that the environment runs, those that lie in its own registry."""
    images = environment.images.model_dump().values()
    return tuple(sorted({name for image in images if (name := naming.repository(cloud, image))}))


class Registry(Component):
    def __init__(
        self, environment: Environment, place: Place, key: pulumi.Input[str], opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("Registry", place, opts)
        for name in repositories(environment, place.cloud):
            self._repository(name, key)
        if place.cloud.images.replicate_to:
            self._replicated()
        sources = place.cloud.images.replicate_from
        if sources:
            self._accepts(sources)
        self.register_outputs({})

    def _repository(self, name: str, key: pulumi.Input[str]) -> None:
        made = aws.ecr.Repository(
            name,
            name=name,
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration={"scan_on_push": True},
            encryption_configurations=[{"encryption_type": "KMS", "kms_key": key}],
            force_delete=False,
            opts=self.kept(),
        )
        aws.ecr.LifecyclePolicy(
            name, repository=made.name, policy=_keeps(self.place.cloud.images.keep), opts=self.child()
        )

    def _replicated(self) -> None:
        cloud = self.place.cloud
        to: list[aws.ecr.ReplicationConfigurationReplicationConfigurationRuleDestinationArgsDict]
        to = [{"region": cloud.region, "registry_id": account} for account in cloud.images.replicate_to]
        aws.ecr.ReplicationConfiguration(
            "replication",
            replication_configuration={
                "rules": [
                    {
                        "destinations": to,
                        "repository_filters": [
                            {"filter": f"{naming.PROJECT}/", "filter_type": "PREFIX_MATCH"}
                        ],
                    }
                ]
            },
            opts=self.child(),
        )

    def _accepts(self, sources: tuple[str, ...]) -> None:
        """Images of the accounts that replicate to this one; their repositories are made here, by this program."""
        statement = {
            "Sid": "Replication",
            "Effect": "Allow",
            "Principal": {"AWS": [f"arn:{naming.PARTITION}:iam::{source}:root" for source in sources]},
            "Action": ["ecr:ReplicateImage"],
            "Resource": [naming.arn(self.place.cloud, "ecr", f"repository/{naming.PROJECT}/*")],
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]}, sort_keys=True)
        aws.ecr.RegistryPolicy("replication", policy=policy, opts=self.child())


def _keeps(newest: int) -> str:
    """The newest images; what an environment runs is among them unless nobody has promoted for that long."""
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": newest}
    rule = {
        "rulePriority": 1,
        "description": f"the newest {newest}",
        "selection": selection,
        "action": {"type": "expire"},
    }
    return json.dumps({"rules": [rule]}, sort_keys=True)
