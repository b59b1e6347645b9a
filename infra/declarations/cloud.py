"""What an environment has in AWS: its account, network, machines, database, money, and who may change them."""

from ipaddress import IPv4Network
from itertools import combinations
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from infra.declarations.declaration import Declaration, Many
from infra.declarations.errors import MisfitError, unknown
from infra.declarations.scalars import Branch, Slug, like

# Every tag that each resource has; naming.tags gives the values.
MANDATORY_TAGS = ("cost-centre", "environment", "managed-by", "project", "team")
_REGIONS = {  # where EKS runs: boto3's endpoints of `eks`, 2026-11
    "af-south": "1",
    "ap-east": "12",
    "ap-northeast": "123",
    "ap-south": "12",
    "ap-southeast": "1234567",
    "ca-central": "1",
    "ca-west": "1",
    "eu-central": "12",
    "eu-north": "1",
    "eu-south": "12",
    "eu-west": "123",
    "il-central": "1",
    "me-central": "1",
    "me-south": "1",
    "mx-central": "1",
    "sa-east": "1",
    "us-east": "12",
    "us-west": "12",
}
REGIONS = tuple(f"{area}-{number}" for area, numbers in _REGIONS.items() for number in numbers)
_FEWEST_ZONES = 3


def _known_region(region: str) -> str:
    if region not in REGIONS:
        raise ValueError(unknown(region, REGIONS, "region of AWS"))
    return region


def _network(text: str) -> str:
    try:
        return str(IPv4Network(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a network; {error}; write it like '10.20.0.0/16'") from None


Account = Annotated[str, like(r"(?!0{12})[0-9]{12}", "an AWS account", "write its 12 digits, in quotes")]
Region = Annotated[str, AfterValidator(_known_region)]
Zone = Annotated[str, like(r"[a-f]", "a zone", "write the letter that AWS adds to the region, such as 'a'")]
Cidr = Annotated[str, AfterValidator(_network)]
CostCentre = Annotated[
    str, like(r"[-A-Za-z0-9_.]{1,32}", "a cost centre", "use up to 32 of A-Z a-z 0-9 - _ .")
]
Instance = Annotated[
    str,
    like(r"[a-z][a-z0-9-]{1,12}\.(?:metal|[a-z0-9-]{1,14})", "an instance type", "write it like 'm7i.large'"),
]
DatabaseClass = Annotated[
    str, like(r"db\.[a-z][a-z0-9]{1,8}\.[a-z0-9]{1,12}", "a database class", "write it like 'db.t4g.medium'")
]
Version = Annotated[str, like(r"[0-9]+\.[0-9]+", "a minor version", "write it in quotes, like '1.35'")]
AddonVersion = Annotated[
    str, like(r"v[0-9][-.a-z0-9]{1,40}", "a version of an add-on", "write it like 'v1.3.10-eksbuild.2'")
]
Email = Annotated[
    str, like(r"[^@\s]{1,64}@[-a-z0-9.]+\.[a-z]{2,}", "an e-mail address", "write it like 'ml@example.com'")
]
GitHub = Annotated[
    str,
    like(
        r"[A-Za-z0-9](?:[-A-Za-z0-9]{0,38})/[-A-Za-z0-9._]{1,100}",
        "a GitHub repository",
        "write 'owner/name', without an address",
    ),
]
RoleName = Annotated[
    str, like(r"(?:/[-\w+=,.@]+)*/?[-\w+=,.@]{1,64}", "a role", "write its path and name, without the ARN")
]
Days = Annotated[int, Field(ge=1, le=3650)]
Dollars = Annotated[int, Field(ge=1)]
Nodes = Annotated[int, Field(ge=0, le=1000)]
Endpoint = Literal["ecr.api", "ecr.dkr", "logs", "sts"]
Addon = Literal[
    "aws-ebs-csi-driver", "coredns", "eks-pod-identity-agent", "kube-proxy", "metrics-server", "vpc-cni"
]


class Tags(Declaration):
    """Who answers for what costs money; the other mandatory tags follow from the environment."""

    team: Slug
    cost_centre: CostCentre


class Network(Declaration):
    """`cidr` is shared out evenly: a private subnet for each zone, and small public and database ones."""

    cidr: Cidr
    zones: Many[Zone] = ("a", "b", "c")
    nat: Literal["zone", "single"] = "zone"  # one in each zone, or one that a failing zone takes along
    endpoints: Many[Endpoint] = ("ecr.api", "ecr.dkr", "sts")  # beside S3's, which costs nothing
    flow_log_days: Days = 30

    @model_validator(mode="after")
    def _fits(self) -> Self:
        zones, prefix = self.zones, IPv4Network(self.cidr).prefixlen
        if len(set(zones)) != len(zones):
            raise MisfitError(("zones",), f"{list(zones)} has a zone twice; write each letter once")
        if len(zones) < _FEWEST_ZONES:
            fix = f"write at least {_FEWEST_ZONES}, so that the others can carry the load of one that fails"
            raise MisfitError(("zones",), f"{list(zones)} are too few; {fix}")
        if not 16 <= prefix <= 20:
            fix = "a VPC of EKS takes /16 (65,536 addresses) to /20 (4,096)"
            raise MisfitError(("cidr",), f"{self.cidr!r} does not fit; {fix}")
        if not IPv4Network(self.cidr).is_private:
            raise MisfitError(("cidr",), f"{self.cidr!r} is public; take one of 10/8, 172.16/12, 192.168/16")
        return self


class ControlPlane(Declaration):
    """Kubernetes' API: private, unless networks are named that may call it from outside."""

    version: Version = "1.35"
    public: Many[Cidr] = ()
    services: Cidr = "172.20.0.0/16"
    admins: Many[RoleName] = ()  # roles of the account that may do everything in the cluster
    viewers: Many[RoleName] = ()
    log_days: Days = 90
    addons: dict[Addon, AddonVersion] = Field(default_factory=dict)  # over those of addons.py

    @model_validator(mode="after")
    def _not_the_world(self) -> Self:
        for index, network in enumerate(self.public):
            if IPv4Network(network).prefixlen < 16:
                text = f"{network!r} is a large part of the Internet; name networks of /16 or smaller"
                raise MisfitError(("public", index), text)
        return self


class NodeRange(Declaration):
    """How many machines there may be."""

    min: Nodes = 0
    max: Nodes

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise MisfitError(("min",), f"{self.min} is above max {self.max}; lower min or raise max")
        return self


class NodePool(Declaration):
    """Machines of one kind; Karpenter takes the cheapest instance type that fits."""

    instances: Annotated[Many[Instance], Field(min_length=1)]
    capacity: Literal["on-demand", "spot"] = "on-demand"
    nodes: NodeRange
    gpus: bool = False


class SystemNodes(Declaration):
    """The managed group that runs what makes all other nodes: Karpenter, CoreDNS, Argo CD."""

    instances: Annotated[Many[Instance], Field(min_length=1)] = ("m7i.large",)
    capacity: Literal["on-demand", "spot"] = "on-demand"
    nodes: NodeRange = NodeRange(min=2, max=4)
    disk: Annotated[int, Field(ge=20, le=1000)] = 50  # GiB


class Storage(Declaration):
    """How long buckets keep what nobody needs any more, and what nobody may delete."""

    lock: Literal["GOVERNANCE", "COMPLIANCE"] = "GOVERNANCE"
    lock_days: Days = 90  # of every object in the model store
    old_version_days: Days = 90
    log_days: Days = 365


class Registry(Declaration):
    """Container images; those that are pushed here also go to the registries of these accounts."""

    replicate_to: Many[Account] = ()
    replicate_from: Many[Account] = ()  # accounts that may put theirs here
    keep: Annotated[int, Field(ge=2, le=1000)] = 50  # images of each repository


class Database(Declaration):
    """PostgreSQL for MLflow: an environment that has it hosts a registry."""

    instance: DatabaseClass = "db.t4g.medium"
    version: Version = "17.6"
    storage: Annotated[int, Field(ge=20, le=65_536)] = 50  # GiB
    storage_max: Annotated[int, Field(ge=20, le=65_536)] = 200
    multi_az: bool = True
    backup_days: Annotated[int, Field(ge=1, le=35)] = 14

    @model_validator(mode="after")
    def _may_grow(self) -> Self:
        if self.storage_max < self.storage * 1.26:  # RDS wants a quarter more, and rounds up
            fix = "RDS wants at least 26 per cent more than storage"
            raise MisfitError(("storage_max",), f"{self.storage_max} is too near to {self.storage}; {fix}")
        return self


class Budget(Declaration):
    """US dollars a month; alarms are per cent of it that was spent, and all of it as a forecast."""

    monthly: Dollars
    teams: dict[Slug, Dollars] = Field(default_factory=dict)
    alarms: Annotated[Many[Annotated[int, Field(ge=1, le=200)]], Field(min_length=1)] = (50, 80, 100)
    emails: Annotated[Many[Email], Field(min_length=1, max_length=10)]


class Audit(Declaration):
    """Who did what: CloudTrail, its bucket locked for so many days; what AWS watches on top."""

    trail: bool = True
    trail_days: Days = 365
    guardduty: bool = True
    config: bool = False


class Backup(Declaration):
    """Copies of the database and of the buckets, each day, in a vault of their own."""

    days: Annotated[int, Field(ge=7, le=3650)] = 35
    lock: bool = False  # nobody, the root user included, deletes a copy before its time


class Ci(Declaration):
    """The workflows that may act here, by the identity that GitHub gives them."""

    github: GitHub
    branch: Branch = "main"
    state: Annotated[
        str, like(r"[a-z0-9](?:[-a-z0-9]{1,61}[a-z0-9])", "a bucket", "write its name, without s3://")
    ]  # where Pulumi keeps the stack's state


class Cloud(Declaration):
    """Everything in AWS of an environment. Raises at construction if two parts contradict each other."""

    account: Account
    region: Region
    tags: Tags
    network: Network
    control_plane: ControlPlane = ControlPlane()
    system: SystemNodes = SystemNodes()
    machine_image: Annotated[
        str,
        like(
            r"al2023@(?:latest|v[0-9]{8})", "a machine image", "write 'al2023@v20260101' or 'al2023@latest'"
        ),
    ] = "al2023@latest"  # of Karpenter's machines; a pinned one gets no patches by itself
    pools: Annotated[dict[Slug, NodePool], Field(min_length=1)]
    storage: Storage = Storage()
    images: Registry = Registry()
    database: Database | None = None
    budget: Budget
    audit: Audit = Audit()
    backup: Backup = Backup()
    ci: Ci | None = None
    secrets: Many[
        Slug
    ] = ()  # names in Secrets Manager; people fill them, no value passes through Git or state
    protect: bool = True  # nothing that holds data can be deleted without a commit that says so

    @model_validator(mode="after")
    def _has_an_administrator(self) -> Self:
        if not self.ci and not self.control_plane.admins:
            fix = "name roles in control_plane.admins, or a repository in ci"
            raise MisfitError(("control_plane",), f"nobody could use the cluster; {fix}")
        return self

    @model_validator(mode="after")
    def _networks_apart(self) -> Self:
        taken = {"network.cidr": self.network.cidr, "control_plane.services": self.control_plane.services}
        for (one, left), (other, right) in combinations(taken.items(), 2):
            if IPv4Network(left).overlaps(IPv4Network(right)):
                text = f"{right!r} overlaps {one} {left!r}; take a network that is free"
                raise MisfitError(tuple(other.split(".")), text)
        return self
