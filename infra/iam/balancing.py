"""What the AWS Load Balancer Controller may do: its project's policy, limited to what has our cluster's tag."""

from infra.declarations import naming
from infra.declarations.cloud import Cloud
from infra.iam.document import ALL, Condition, Document, Statement, allow, document

_TAG = "elbv2.k8s.aws/cluster"
_SEEN = (
    *("AccountAttributes", "Addresses", "AvailabilityZones", "Instances", "InternetGateways", "IpamPools"),
    *(
        "NetworkInterfaces",
        "RouteTables",
        "SecurityGroups",
        "Subnets",
        "Tags",
        "VpcPeeringConnections",
        "Vpcs",
    ),
)
_BALANCING = (
    *(
        "CapacityReservation",
        "ListenerAttributes",
        "ListenerCertificates",
        "Listeners",
        "LoadBalancerAttributes",
    ),
    *(
        "LoadBalancers",
        "Rules",
        "SSLPolicies",
        "Tags",
        "TargetGroupAttributes",
        "TargetGroups",
        "TargetHealth",
    ),
)


def balancer(cloud: Cloud, env: str) -> Document:
    return document(*_looks(cloud), *_walls(cloud, env), *_makes(cloud, env), *_changes(cloud, env))


def _tagged(env: str, of: str) -> Condition:
    return {"StringEquals": {f"aws:{of}/{_TAG}": naming.cluster(env)}}


def _parts(cloud: Cloud, *kinds: str) -> tuple[str, ...]:
    return tuple(naming.arn(cloud, "elasticloadbalancing", f"{kind}/*") for kind in kinds)


def _looks(cloud: Cloud) -> list[Statement]:
    linked = {"StringEquals": {"iam:AWSServiceName": "elasticloadbalancing.amazonaws.com"}}
    role = f"arn:{naming.PARTITION}:iam::*:role/aws-service-role/elasticloadbalancing.amazonaws.com/*"
    vpcs = (naming.arn(cloud, "ec2", "vpc/*"),)
    return [
        allow("Link", ("iam:CreateServiceLinkedRole",), (role,), linked),
        allow("Look", tuple(f"ec2:Describe{what}" for what in _SEEN), ALL),
        allow("LookAtGroups", ("ec2:GetSecurityGroupsForVpc",), vpcs),
        allow("LookAtBalancers", tuple(f"elasticloadbalancing:Describe{what}" for what in _BALANCING), ALL),
    ]


def _walls(cloud: Cloud, env: str) -> list[Statement]:
    """Security groups: its own, and rules in that of the nodes."""
    groups = (naming.arn(cloud, "ec2", "security-group/*"),)
    rules = ("ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress")
    nodes = {"StringEquals": {"aws:ResourceTag/karpenter.sh/discovery": naming.cluster(env)}}
    made = {
        "StringEquals": {
            "ec2:CreateAction": "CreateSecurityGroup",
            f"aws:RequestTag/{_TAG}": naming.cluster(env),
        }
    }
    vpcs = (naming.arn(cloud, "ec2", "vpc/*"),)
    own = _tagged(env, "ResourceTag")
    return [
        allow("MakeGroups", ("ec2:CreateSecurityGroup",), groups, _tagged(env, "RequestTag")),
        allow("MakeGroupsIn", ("ec2:CreateSecurityGroup",), vpcs),
        allow("TagNewGroups", ("ec2:CreateTags",), groups, made),
        allow("TagGroups", ("ec2:CreateTags", "ec2:DeleteTags"), groups, own),
        allow("ChangeGroups", (*rules, "ec2:DeleteSecurityGroup"), groups, own),
        allow("LetIntoNodes", rules, groups, nodes),
    ]


def _makes(cloud: Cloud, env: str) -> list[Statement]:
    own, kinds = _tagged(env, "RequestTag"), ("loadbalancer", "targetgroup")
    made = {
        "StringEquals": {
            **own["StringEquals"],
            "elasticloadbalancing:CreateAction": ["CreateLoadBalancer", "CreateTargetGroup"],
        }
    }
    new = ("elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup")
    listeners = tuple(
        f"elasticloadbalancing:{verb}{what}" for verb in ("Create", "Delete") for what in ("Listener", "Rule")
    )
    return [
        allow("Make", new, _parts(cloud, *kinds), own),
        allow("TagNew", ("elasticloadbalancing:AddTags",), _parts(cloud, *kinds), made),
        allow("Listen", listeners, _parts(cloud, "loadbalancer", "listener", "listener-rule"), None),
    ]


def _changes(cloud: Cloud, env: str) -> list[Statement]:
    own = _tagged(env, "ResourceTag")
    targets = ("DeregisterTargets", "RegisterTargets")
    groups = ("DeleteTargetGroup", "ModifyTargetGroup", "ModifyTargetGroupAttributes", *targets)
    balancers = (
        *("DeleteLoadBalancer", "ModifyCapacityReservation", "ModifyIpPools", "ModifyLoadBalancerAttributes"),
        *("SetIpAddressType", "SetSecurityGroups", "SetSubnets"),
    )
    listeners = ("AddListenerCertificates", "ModifyListener", "ModifyListenerAttributes", "ModifyRule")
    removed = "RemoveListenerCertificates"
    tags = ("elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags")
    everything = _parts(cloud, "loadbalancer", "targetgroup", "listener", "listener-rule")
    return [
        allow("ChangeBalancers", _acts(*balancers), _parts(cloud, "loadbalancer"), own),
        allow("ChangeTargets", _acts(*groups), _parts(cloud, "targetgroup"), own),
        allow("ChangeListeners", _acts(*listeners, removed), _parts(cloud, "listener", "listener-rule"), own),
        allow("Tag", tags, everything, own),
    ]


def _acts(*names: str) -> tuple[str, ...]:
    return tuple(f"elasticloadbalancing:{name}" for name in sorted(names))
