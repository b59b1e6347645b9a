"""PostgreSQL for MLflow, in subnets without routes; its password is RDS' and never passes through here."""

from typing import Any

import pulumi
import pulumi_aws as aws

from infra.cloud.component import Component, Place
from infra.cloud.network import Network
from infra.declarations import naming
from infra.declarations.cloud import Database as Wanted
from infra.iam import pods
from infra.iam.document import Document, allow, document

_PORT = 5432
_USER = "mlflow"  # logs in by IAM; `CREATE USER mlflow; GRANT rds_iam TO mlflow` makes it


class Database(Component):
    """Output: `instance`."""

    def __init__(
        self,
        place: Place,
        wanted: Wanted,
        network: Network,
        callers: pulumi.Input[str],
        key: pulumi.Output[str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("Database", place, opts)
        self.name, self.key = f"{naming.base(place.env)}-mlflow", key
        subnets = aws.rds.SubnetGroup(
            "database",
            name=self.name,
            description="Subnets without a way out",
            subnet_ids=network.ids("database"),
            opts=self.child(),
        )
        wall = self._wall(network, callers)
        self.instance = self._instance(wanted, subnets, wall, self._parameters(wanted))
        self.register_outputs({"address": self.instance.address})

    def _wall(self, network: Network, callers: pulumi.Input[str]) -> aws.ec2.SecurityGroup:
        """Nodes of the cluster call; NetworkPolicies say which pods of theirs."""
        wall = aws.ec2.SecurityGroup(
            "database",
            name=self.name,
            description="PostgreSQL, for pods of the cluster",
            vpc_id=network.vpc.id,
            opts=self.child(),
        )
        aws.vpc.SecurityGroupIngressRule(
            "database",
            security_group_id=wall.id,
            referenced_security_group_id=callers,
            ip_protocol="tcp",
            from_port=_PORT,
            to_port=_PORT,
            opts=self.child(),
        )
        return wall

    def _parameters(self, wanted: Wanted) -> aws.rds.ParameterGroup:
        return aws.rds.ParameterGroup(
            "database",
            name=f"{self.name}-{wanted.version.partition('.')[0]}",
            family=f"postgres{wanted.version.partition('.')[0]}",
            description="TLS only, and a line for whoever comes and goes",
            parameters=[
                {"name": "rds.force_ssl", "value": "1"},
                {"name": "log_connections", "value": "1"},
                {"name": "log_disconnections", "value": "1"},
            ],
            opts=self.child(),
        )

    def _instance(
        self,
        wanted: Wanted,
        subnets: aws.rds.SubnetGroup,
        wall: aws.ec2.SecurityGroup,
        parameters: aws.rds.ParameterGroup,
    ) -> aws.rds.Instance:
        return aws.rds.Instance(
            "database",
            identifier=self.name,
            engine="postgres",
            engine_version=wanted.version,
            instance_class=wanted.instance,
            db_name="mlflow",
            username="postgres",
            port=_PORT,
            multi_az=wanted.multi_az,
            db_subnet_group_name=subnets.name,
            vpc_security_group_ids=[wall.id],
            parameter_group_name=parameters.name,
            publicly_accessible=False,
            **self._safety(wanted),
            opts=self.kept(),
        )

    def _safety(self, wanted: Wanted) -> dict[str, Any]:
        """RDS makes the administrator's password, keeps it in Secrets Manager and changes it every week."""
        protect = self.place.cloud.protect
        return {
            "allocated_storage": wanted.storage,
            "max_allocated_storage": wanted.storage_max,
            "storage_type": "gp3",
            "storage_encrypted": True,
            "kms_key_id": self.key,
            "manage_master_user_password": True,
            "master_user_secret_kms_key_id": self.key,
            "iam_database_authentication_enabled": True,
            "ca_cert_identifier": "rds-ca-rsa2048-g1",
            "backup_retention_period": wanted.backup_days,
            "backup_window": "01:00-02:00",
            "maintenance_window": "sun:03:00-sun:04:00",
            "copy_tags_to_snapshot": True,
            "delete_automated_backups": not protect,
            "deletion_protection": protect,
            "skip_final_snapshot": not protect,
            "final_snapshot_identifier": f"{self.name}-final" if protect else None,
            "auto_minor_version_upgrade": True,
            "enabled_cloudwatch_logs_exports": ["postgresql", "upgrade"],
            "performance_insights_enabled": True,
            "performance_insights_kms_key_id": self.key,
        }

    def mlflow(self) -> pulumi.Output[str]:
        """MLflow's server: its artifacts, and to log in as one user of this database, without a password."""
        cloud, env = self.place.cloud, self.place.env

        def policy(resource: str) -> Document:
            user = naming.arn(cloud, "rds-db", f"dbuser:{resource}/{_USER}")
            artifacts = pods.mlflow(cloud, env)["Statement"]
            return document(*artifacts, allow("LogIn", ("rds-db:connect",), (user,)))

        return pulumi.Output.json_dumps(self.instance.resource_id.apply(policy), sort_keys=True)
