"""The machines that start all others, and the add-ons: some before the first machine, the others upon it."""

import re
from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from infra.cloud.component import Component, Place
from infra.cloud.network import Network
from infra.cloud.roles import role
from infra.declarations import naming
from infra.declarations.addons import Addon, addons
from infra.iam.document import trusts_service
from infra.iam.pods import trusts_pod

_NODE = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonSSMManagedInstanceCore")


class Nodes(Component):
    def __init__(
        self, place: Place, network: Network, cluster: pulumi.Output[str], opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("Nodes", place, opts)
        self.cluster = cluster
        wanted = addons(place.cloud.control_plane)
        early = [self._addon(addon, ()) for addon in wanted if addon.before_nodes]
        group = self._system(network, early)
        for addon in wanted:
            if not addon.before_nodes:
                self._addon(addon, (group,))
        self.register_outputs({})

    def _addon(self, addon: Addon, after: Sequence[pulumi.Resource]) -> aws.eks.Addon:
        """A pod gets its identity when it is made, so the add-on and its identity come together."""
        place, access = self.place, addon.access
        identities: list[aws.eks.AddonPodIdentityAssociationArgsDict] = []
        if access:
            trust = trusts_pod(place.cloud, place.env, "kube-system", access.account)
            own = role(
                place,
                naming.role(place.env, addon.name),
                trust,
                self.child(),
                managed=(access.policy,),
            )
            identities = [{"role_arn": own.arn, "service_account": access.account}]
        return aws.eks.Addon(
            addon.name,
            cluster_name=self.cluster,
            addon_name=addon.name,
            addon_version=addon.version,
            configuration_values=addon.values,
            pod_identity_associations=identities or None,
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="OVERWRITE",
            opts=self.child(depends_on=list(after)),
        )

    def _system(self, network: Network, ready: list[aws.eks.Addon]) -> aws.eks.NodeGroup:
        cloud, env = self.place.cloud, self.place.env
        system = cloud.system
        own = role(
            self.place,
            naming.node_role(env),
            trusts_service("ec2.amazonaws.com"),
            self.child(),
            managed=_NODE,
        )
        template = self._template()
        return aws.eks.NodeGroup(
            "system",
            cluster_name=self.cluster,
            node_group_name=f"{naming.base(env)}-system",
            node_role_arn=own.arn,
            subnet_ids=network.ids("private"),
            instance_types=list(system.instances),
            capacity_type=system.capacity.replace("-", "_").upper(),
            ami_type=ami_type(system.instances[0]),
            version=cloud.control_plane.version,
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            scaling_config={
                "desired_size": max(system.nodes.min, 1),
                "min_size": system.nodes.min,
                "max_size": max(system.nodes.max, 1),
            },
            update_config={"max_unavailable": 1},
            labels={"mainline.dev/pool": "system"},
            opts=self.child(ignore_changes=["scalingConfig.desiredSize"], depends_on=ready),
        )

    def _template(self) -> aws.ec2.LaunchTemplate:
        """Encrypted disks; tokens for the metadata service, which pods cannot reach: it is one hop too far."""
        cloud, env = self.place.cloud, self.place.env
        name = f"{naming.base(env)}-system"
        tags = {**naming.tags(cloud, env), "Name": name}
        return aws.ec2.LaunchTemplate(
            "system",
            name=name,
            block_device_mappings=[
                {
                    "device_name": "/dev/xvda",
                    "ebs": {
                        "volume_size": cloud.system.disk,
                        "volume_type": "gp3",
                        "encrypted": "true",
                        "delete_on_termination": "true",
                    },
                }
            ],
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                "http_put_response_hop_limit": 1,
            },
            tag_specifications=[
                {"resource_type": "instance", "tags": tags},
                {"resource_type": "volume", "tags": tags},
            ],
            update_default_version=True,
            opts=self.child(),
        )


def ami_type(instance: str) -> str:
    """Amazon Linux 2023 for the processor that the name of an instance type tells: `m7g.large` is an ARM."""
    family = instance.partition(".")[0]
    arm = re.fullmatch(r"(?:[a-z]+[0-9]+g[a-z]*|a1)", family) is not None
    return "AL2023_ARM_64_STANDARD" if arm else "AL2023_x86_64_STANDARD"
