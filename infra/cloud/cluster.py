"""The EKS cluster: a private API, its own key, its logs, and who may use it."""

import pulumi
import pulumi_aws as aws

from infra.cloud.component import Component, Place
from infra.cloud.network import Network
from infra.cloud.roles import role
from infra.declarations import naming
from infra.iam import ci
from infra.iam.document import trusts_service

_LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")
_ADMIN, _VIEWER = "AmazonEKSClusterAdminPolicy", "AmazonEKSViewPolicy"


class Cluster(Component):
    """Outputs: `name`; `wall`, the security group of all nodes."""

    def __init__(
        self, place: Place, network: Network, key: pulumi.Output[str], opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("Cluster", place, opts)
        self.network, self.key = network, key
        logs = self._logs()
        self.cluster = self._cluster(logs)
        self.name = self.cluster.name
        self.wall = self.cluster.vpc_config.cluster_security_group_id
        aws.ec2.Tag(
            "discovery",
            resource_id=self.wall,
            key="karpenter.sh/discovery",
            value=naming.cluster(place.env),
            opts=self.child(),
        )
        self._access()
        self.register_outputs({"name": self.name})

    def _logs(self) -> aws.cloudwatch.LogGroup:
        """EKS would make it itself, unencrypted and for ever."""
        return aws.cloudwatch.LogGroup(
            "control-plane",
            name=f"/aws/eks/{naming.cluster(self.place.env)}/cluster",
            kms_key_id=self.key,
            retention_in_days=self.place.cloud.control_plane.log_days,
            opts=self.child(),
        )

    def _cluster(self, logs: aws.cloudwatch.LogGroup) -> aws.eks.Cluster:
        cloud, env = self.place.cloud, self.place.env
        plane = cloud.control_plane
        trust = trusts_service("eks.amazonaws.com", {"StringEquals": {"aws:SourceAccount": cloud.account}})
        own = role(
            self.place, naming.role(env, "cluster"), trust, self.child(), managed=("AmazonEKSClusterPolicy",)
        )
        return aws.eks.Cluster(
            "cluster",
            name=naming.cluster(env),
            version=plane.version,
            role_arn=own.arn,
            vpc_config={
                "subnet_ids": self.network.ids("private"),
                "endpoint_private_access": True,
                "endpoint_public_access": bool(plane.public),
                "public_access_cidrs": list(plane.public) or None,
            },
            kubernetes_network_config={"service_ipv4_cidr": plane.services, "ip_family": "ipv4"},
            encryption_config={"provider": {"key_arn": self.key}, "resources": ["secrets"]},
            enabled_cluster_log_types=list(_LOGS),
            access_config={
                "authentication_mode": "API",
                "bootstrap_cluster_creator_admin_permissions": False,
            },
            bootstrap_self_managed_addons=False,
            deletion_protection=cloud.protect,
            upgrade_policy={"support_type": "STANDARD"},
            opts=self.kept(depends_on=[logs]),
        )

    def _access(self) -> None:
        """Roles, never users: the workflows of this environment, and those that the stack file names."""
        cloud, env = self.place.cloud, self.place.env
        prefix = f"arn:{naming.PARTITION}:iam::{cloud.account}:role/"
        for admin in cloud.control_plane.admins:
            self._entry(admin, f"{prefix}{admin.lstrip('/')}", _ADMIN)
        for viewer in cloud.control_plane.viewers:
            self._entry(viewer, f"{prefix}{viewer.lstrip('/')}", _VIEWER)
        if cloud.ci:
            self._entry("apply", naming.role_arn(cloud, env, ci.role_name(env, "apply")), _ADMIN)
            self._entry("plan", naming.role_arn(cloud, env, ci.role_name(env, "plan")), _VIEWER)

    def _entry(self, name: str, principal: str, policy: str) -> None:
        entry = aws.eks.AccessEntry(
            name, cluster_name=self.name, principal_arn=principal, type="STANDARD", opts=self.child()
        )
        aws.eks.AccessPolicyAssociation(
            name,
            cluster_name=self.name,
            principal_arn=entry.principal_arn,
            policy_arn=f"arn:{naming.PARTITION}:eks::aws:cluster-access-policy/{policy}",
            access_scope={"type": "cluster"},
            opts=self.child(),
        )
