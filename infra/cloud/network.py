"""The VPC: private subnets for pods, public ones for load balancers and NAT, unrouted ones for the database."""

from collections.abc import Mapping

import pulumi
import pulumi_aws as aws

from infra.cloud.component import Component, Place
from infra.cloud.roles import role
from infra.declarations import naming
from infra.declarations.subnets import Tier, nat_zones, subnets
from infra.iam.document import allow, document, trusts_service

_ANYWHERE = "0.0.0.0/0"
_ROLES = {"private": "kubernetes.io/role/internal-elb", "public": "kubernetes.io/role/elb"}


class Network(Component):
    """Outputs: `vpc`, and the subnets' ids by tier, in the order of the zones."""

    def __init__(self, place: Place, key: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        super().__init__("Network", place, opts)
        self.vpc = self._vpc()
        self.subnets = self._subnets()
        self._routes()
        self._endpoints()
        self._flow_logs(key)
        self.register_outputs({"vpc": self.vpc.id})

    def ids(self, tier: Tier) -> list[pulumi.Output[str]]:
        zones = self.place.cloud.network.zones
        return [self.subnets[f"{tier}-{zone}"].id for zone in zones]

    def _vpc(self) -> aws.ec2.Vpc:
        vpc = aws.ec2.Vpc(
            "vpc",
            cidr_block=self.place.cloud.network.cidr,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags=self._named(""),
            opts=self.child(),
        )
        # Without rules: whoever forgets to name a security group reaches nothing.
        aws.ec2.DefaultSecurityGroup(
            "default", vpc_id=vpc.id, ingress=[], egress=[], tags=self._named("default"), opts=self.child()
        )
        return vpc

    def _named(self, part: str) -> dict[str, str]:
        base = naming.base(self.place.env)
        return {"Name": f"{base}-{part}" if part else base}

    def _subnets(self) -> Mapping[str, aws.ec2.Subnet]:
        cloud, made = self.place.cloud, {}
        for subnet in subnets(cloud.network):
            tags = self._named(subnet.name)
            if subnet.tier in _ROLES:
                tags[_ROLES[subnet.tier]] = "1"
            if subnet.tier == "private":
                tags["karpenter.sh/discovery"] = naming.cluster(self.place.env)
            made[subnet.name] = aws.ec2.Subnet(
                subnet.name,
                vpc_id=self.vpc.id,
                availability_zone=f"{cloud.region}{subnet.zone}",
                cidr_block=subnet.cidr,
                map_public_ip_on_launch=False,
                tags=tags,
                opts=self.child(),
            )
        return made

    def _routes(self) -> None:
        """Database subnets stay with a table without routes: nothing in them reaches the Internet."""
        self.tables = {"public": self._table("public"), "database": self._table("database")}
        gateway = aws.ec2.InternetGateway(
            "internet", vpc_id=self.vpc.id, tags=self._named("internet"), opts=self.child()
        )
        self._route("public", "gateway_id", gateway.id)
        nats = {zone: self._nat(zone, gateway) for zone in nat_zones(self.place.cloud.network)}
        for zone in self.place.cloud.network.zones:
            name = f"private-{zone}"
            self.tables[name] = self._table(name)
            self._route(name, "nat_gateway_id", nats.get(zone, next(iter(nats.values()))).id)
        for name, subnet in self.subnets.items():
            table = self.tables.get(name) or self.tables[name.rpartition("-")[0]]
            aws.ec2.RouteTableAssociation(
                name, subnet_id=subnet.id, route_table_id=table.id, opts=self.child()
            )

    def _table(self, name: str) -> aws.ec2.RouteTable:
        return aws.ec2.RouteTable(name, vpc_id=self.vpc.id, tags=self._named(name), opts=self.child())

    def _route(self, table: str, through: str, target: pulumi.Input[str]) -> None:
        aws.ec2.Route(
            table,
            route_table_id=self.tables[table].id,
            destination_cidr_block=_ANYWHERE,
            opts=self.child(),
            **{through: target},
        )

    def _nat(self, zone: str, gateway: aws.ec2.InternetGateway) -> aws.ec2.NatGateway:
        tags = self._named(f"nat-{zone}")
        address = aws.ec2.Eip(f"nat-{zone}", domain="vpc", tags=tags, opts=self.child(depends_on=[gateway]))
        return aws.ec2.NatGateway(
            f"nat-{zone}",
            allocation_id=address.id,
            subnet_id=self.subnets[f"public-{zone}"].id,
            tags=tags,
            opts=self.child(depends_on=[gateway]),
        )

    def _endpoints(self) -> None:
        """S3's costs nothing and keeps models and image layers away from the NAT."""
        cloud = self.place.cloud
        private = [table.id for name, table in self.tables.items() if name != "public"]
        aws.ec2.VpcEndpoint(
            "s3",
            vpc_id=self.vpc.id,
            service_name=f"com.amazonaws.{cloud.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=private,
            tags=self._named("s3"),
            opts=self.child(),
        )
        if not cloud.network.endpoints:
            return
        wall = self._endpoint_wall()
        for service in cloud.network.endpoints:
            aws.ec2.VpcEndpoint(
                service,
                vpc_id=self.vpc.id,
                service_name=f"com.amazonaws.{cloud.region}.{service}",
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=self.ids("private"),
                security_group_ids=[wall.id],
                tags=self._named(service),
                opts=self.child(),
            )

    def _endpoint_wall(self) -> aws.ec2.SecurityGroup:
        """Only the VPC calls them, and they call nobody."""
        wall = aws.ec2.SecurityGroup(
            "endpoints",
            name=f"{naming.base(self.place.env)}-endpoints",
            description="Endpoints of AWS services, for this VPC",
            vpc_id=self.vpc.id,
            tags=self._named("endpoints"),
            opts=self.child(),
        )
        aws.vpc.SecurityGroupIngressRule(
            "endpoints",
            security_group_id=wall.id,
            cidr_ipv4=self.place.cloud.network.cidr,
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            tags=self._named("endpoints"),
            opts=self.child(),
        )
        return wall

    def _flow_logs(self, key: pulumi.Input[str]) -> None:
        cloud, env = self.place.cloud, self.place.env
        name = naming.log_group(env, "flow")
        group = aws.cloudwatch.LogGroup(
            "flow",
            name=name,
            kms_key_id=key,
            retention_in_days=cloud.network.flow_log_days,
            opts=self.child(),
        )
        own = {"StringEquals": {"aws:SourceAccount": cloud.account}}
        into = (naming.arn(cloud, "logs", f"log-group:{name}:*"),)
        actions = ("logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents")
        writer = role(
            self.place,
            naming.role(env, "flow-logs"),
            trusts_service("vpc-flow-logs.amazonaws.com", own),
            self.child(),
            own=document(allow("Write", actions, into)),
        )
        aws.ec2.FlowLog(
            "flow",
            vpc_id=self.vpc.id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=writer.arn,
            max_aggregation_interval=600,
            tags=self._named("flow"),
            opts=self.child(),
        )
