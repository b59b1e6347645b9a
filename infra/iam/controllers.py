"""What controllers of the cluster may do; after the policies that their projects publish, and narrower."""

from typing import Any

from infra.declarations import naming
from infra.declarations.cloud import Cloud
from infra.iam.document import ALL, Document, Statement, allow, document

Tags = dict[str, dict[str, Any]]

_NODEPOOL = "karpenter.sh/nodepool"
_CLASS = "karpenter.k8s.aws/ec2nodeclass"


def external_secrets(cloud: Cloud, env: str) -> Document:
    """Secrets below the environment's path, of its key."""
    via = {
        "StringEquals": {"kms:ViaService": f"secretsmanager.{cloud.region}.amazonaws.com"},
        "ForAnyValue:StringEquals": {"kms:ResourceAliases": naming.key_alias(env, "data")},
    }
    actions = ("secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue")
    return document(
        allow("Read", actions, (naming.secrets_arn(cloud, env),)),
        allow("Decrypt", ("kms:Decrypt",), (naming.arn(cloud, "kms", "key/*"),), via),
    )


def external_dns(domain: str) -> Document:
    """Records of the gateway's host name and the notes about who owns them, in whichever zone holds them."""
    names = [domain, *(f"{kind}-{domain}" for kind in ("a", "aaaa", "cname"))]
    narrow: Tags = {
        "ForAllValues:StringEquals": {
            "route53:ChangeResourceRecordSetsNormalizedRecordNames": names,
            "route53:ChangeResourceRecordSetsRecordTypes": ["A", "AAAA", "CNAME", "TXT"],
        },
        "Null": {"route53:ChangeResourceRecordSetsNormalizedRecordNames": "false"},
    }
    zones = (f"arn:{naming.PARTITION}:route53:::hostedzone/*",)
    reading = ("route53:ListResourceRecordSets", "route53:ListTagsForResources")
    return document(
        allow("Change", ("route53:ChangeResourceRecordSets",), zones, narrow),
        allow("Read", reading, zones),
        allow("Find", ("route53:ListHostedZones",), ALL),
    )


def karpenter(cloud: Cloud, env: str) -> Document:
    """Starts and ends machines of this cluster only: what Karpenter makes carries the cluster's tags."""
    return document(*_starts(cloud, env), *_tags(cloud, env), *_profiles(cloud, env), *_looks(cloud, env))


def _ec2(cloud: Cloud, *kinds: str) -> tuple[str, ...]:
    return tuple(naming.arn(cloud, "ec2", f"{kind}/*") for kind in kinds)


def _owned(env: str, of: str) -> Tags:
    return {
        "StringEquals": {f"aws:{of}/kubernetes.io/cluster/{naming.cluster(env)}": "owned"},
        "StringLike": {f"aws:{of}/{_NODEPOOL}": "*"},
    }


def _made(cloud: Cloud) -> tuple[str, ...]:
    kinds = ("fleet", "instance", "volume", "network-interface", "launch-template", "spot-instances-request")
    return _ec2(cloud, *kinds)


def _starts(cloud: Cloud, env: str) -> list[Statement]:
    start = ("ec2:CreateFleet", "ec2:RunInstances")
    shared = tuple(f"arn:{naming.PARTITION}:ec2:{cloud.region}::{kind}/*" for kind in ("image", "snapshot"))
    networks = _ec2(cloud, "security-group", "subnet")
    own = {"StringEquals": {"aws:ResourceTag/karpenter.sh/discovery": naming.cluster(env)}}
    asked: Tags = {
        **_owned(env, "RequestTag"),
        "StringEquals": {
            f"aws:RequestTag/kubernetes.io/cluster/{naming.cluster(env)}": "owned",
            "aws:RequestTag/eks:eks-cluster-name": naming.cluster(env),
        },
    }
    return [
        allow("StartFromImages", start, shared),
        allow("StartInNetwork", start, networks, own),
        allow("StartFromTemplates", start, _ec2(cloud, "launch-template"), _owned(env, "ResourceTag")),
        allow("StartWithTags", (*start, "ec2:CreateLaunchTemplate"), _made(cloud), asked),
        allow(
            "End",
            ("ec2:DeleteLaunchTemplate", "ec2:TerminateInstances"),
            _ec2(cloud, "instance", "launch-template"),
            _owned(env, "ResourceTag"),
        ),
    ]


def _tags(cloud: Cloud, env: str) -> list[Statement]:
    name, owned = naming.cluster(env), _owned(env, "RequestTag")
    created: Tags = {
        **owned,
        "StringEquals": {
            **owned["StringEquals"],
            "aws:RequestTag/eks:eks-cluster-name": name,
            "ec2:CreateAction": ["RunInstances", "CreateFleet", "CreateLaunchTemplate"],
        },
    }
    later: Tags = {
        **_owned(env, "ResourceTag"),
        "StringEqualsIfExists": {"aws:RequestTag/eks:eks-cluster-name": name},
        "ForAllValues:StringEquals": {
            "aws:TagKeys": ["eks:eks-cluster-name", "karpenter.sh/nodeclaim", "Name"]
        },
    }
    return [
        allow("TagWhatIsMade", ("ec2:CreateTags",), _made(cloud), created),
        allow("TagMachines", ("ec2:CreateTags",), _ec2(cloud, "instance"), later),
    ]


def _profiles(cloud: Cloud, env: str) -> list[Statement]:
    """Karpenter makes the instance profile of the one role that machines may have."""
    profiles = (f"arn:{naming.PARTITION}:iam::{cloud.account}:instance-profile/*",)
    node = naming.role_arn(cloud, env, naming.node_role(env))
    passed = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    of, asked = _profile_tags(cloud, env, "ResourceTag"), _profile_tags(cloud, env, "RequestTag")
    both: Tags = {kind: {**of[kind], **asked[kind]} for kind in of}
    changes = (
        "iam:AddRoleToInstanceProfile",
        "iam:DeleteInstanceProfile",
        "iam:RemoveRoleFromInstanceProfile",
    )
    return [
        allow("PassNodeRole", ("iam:PassRole",), (node,), passed),
        allow("MakeProfiles", ("iam:CreateInstanceProfile",), profiles, asked),
        allow("TagProfiles", ("iam:TagInstanceProfile",), profiles, both),
        allow("ChangeProfiles", changes, profiles, of),
        allow("ReadProfiles", ("iam:GetInstanceProfile",), profiles),
    ]


def _profile_tags(cloud: Cloud, env: str, of: str) -> Tags:
    return {
        "StringEquals": {
            f"aws:{of}/kubernetes.io/cluster/{naming.cluster(env)}": "owned",
            f"aws:{of}/topology.kubernetes.io/region": cloud.region,
        },
        "StringLike": {f"aws:{of}/{_CLASS}": "*"},
    }


def _looks(cloud: Cloud, env: str) -> list[Statement]:
    described = ("Images", "Instances", "InstanceTypeOfferings", "InstanceTypes", "LaunchTemplates")
    more = ("SecurityGroups", "SpotPriceHistory", "Subnets")
    here = {"StringEquals": {"aws:RequestedRegion": cloud.region}}
    hears = ("sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage")
    images = f"arn:{naming.PARTITION}:ssm:{cloud.region}::parameter/aws/service/*"
    return [
        allow("Look", tuple(f"ec2:Describe{what}" for what in (*described, *more)), ALL, here),
        allow("FindImages", ("ssm:GetParameter",), (images,)),
        allow("Compare", ("pricing:GetProducts",), ALL),
        allow("Hear", hears, (naming.queue_arn(cloud, env),)),
        allow("FindCluster", ("eks:DescribeCluster",), (naming.cluster_arn(cloud, env),)),
    ]
