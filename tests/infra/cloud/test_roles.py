"""Controllers, workflows, and the limit of all roles: what each may do, and what it may not."""

import json
from typing import Any

import pytest

from tests.infra.cloud.evaluator import allowed
from tests.infra.cloud.graph import ENVIRONMENTS, Graph, own
from tests.infra.cloud.linter import findings

ACCOUNT, REGION = "333333333333", "eu-central-1"
ROLES = f"arn:aws:iam::{ACCOUNT}:role/mainline/prod/"
EC2, BALANCING = f"arn:aws:ec2:{REGION}:{ACCOUNT}:", f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:"
GITHUB = "token.actions.githubusercontent.com"
OWNED = "kubernetes.io/cluster/mainline-prod"
NODES = {"aws:ResourceTag/karpenter.sh/discovery": "mainline-prod"}
Question = tuple[str, str, str, dict[str, Any]]


@pytest.fixture(scope="module")
def prod() -> Graph:
    return own("prod")


def may(of: Graph, role: str, action: str, resource: str, context: dict[str, Any] | None = None) -> bool:
    name = f"mainline-prod-{role}"
    given = [json.loads(policy["policy"]) for policy in of.one("iam.Role", name).inputs["inlinePolicies"]]
    limits = [of.one("iam.Policy", "boundary").document("policy")]
    limited = "permissionsBoundary" in of.one("iam.Role", name).inputs
    return allowed(given, action, resource, context) and (
        not limited or allowed(limits, action, resource, context)
    )


MAY: dict[str, Question] = {
    "start a machine in our subnets": ("karpenter", "ec2:RunInstances", f"{EC2}subnet/s", NODES),
    "start a machine with our tags": (
        "karpenter",
        "ec2:RunInstances",
        f"{EC2}instance/i",
        {
            f"aws:RequestTag/{OWNED}": "owned",
            "aws:RequestTag/eks:eks-cluster-name": "mainline-prod",
            "aws:RequestTag/karpenter.sh/nodepool": "serving",
        },
    ),
    "end its machine": (
        "karpenter",
        "ec2:TerminateInstances",
        f"{EC2}instance/i",
        {f"aws:ResourceTag/{OWNED}": "owned", "aws:ResourceTag/karpenter.sh/nodepool": "serving"},
    ),
    "give machines their role": (
        "karpenter",
        "iam:PassRole",
        f"{ROLES}mainline-prod-node",
        {"iam:PassedToService": "ec2.amazonaws.com"},
    ),
    "hear": (
        "karpenter",
        "sqs:ReceiveMessage",
        f"arn:aws:sqs:{REGION}:{ACCOUNT}:mainline-prod-karpenter",
        {},
    ),
    "read a secret of the environment": (
        "external-secrets",
        "secretsmanager:GetSecretValue",
        f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:mainline/prod/git-AbCdEf",
        {},
    ),
    "point the gateway's name at it": (
        "external-dns",
        "route53:ChangeResourceRecordSets",
        "arn:aws:route53:::hostedzone/Z1",
        {
            "route53:ChangeResourceRecordSetsNormalizedRecordNames": ["models.example.com"],
            "route53:ChangeResourceRecordSetsRecordTypes": ["A"],
        },
    ),
    "make a balancer of the cluster": (
        "aws-load-balancer-controller",
        "elasticloadbalancing:CreateLoadBalancer",
        f"{BALANCING}loadbalancer/net/x/1",
        {"aws:RequestTag/elbv2.k8s.aws/cluster": "mainline-prod"},
    ),
    "let a balancer call pods": (
        "aws-load-balancer-controller",
        "ec2:AuthorizeSecurityGroupIngress",
        f"{EC2}security-group/sg",
        NODES,
    ),
    "make a role within the boundary": (
        "ci-apply",
        "iam:CreateRole",
        f"{ROLES}mainline-prod-model-new",
        {"iam:PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/mainline/prod/mainline-prod-boundary"},
    ),
    "add an artifact": (
        "ci-promote",
        "s3:PutObject",
        "arn:aws:s3:::mainline-prod-models-333333333333/iris/d/x",
        {},
    ),
    "push an image": (
        "ci-images",
        "ecr:PutImage",
        f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/mainline/v2serve",
        {},
    ),
    "read the stack's state": ("ci-plan", "s3:GetObject", "arn:aws:s3:::example-mainline-state-prod/x", {}),
}
MAY_NOT: dict[str, Question] = {
    "start a machine elsewhere": ("karpenter", "ec2:RunInstances", f"{EC2}subnet/s", {}),
    "start a machine without tags": ("karpenter", "ec2:RunInstances", f"{EC2}instance/i", {}),
    "end somebody's machine": ("karpenter", "ec2:TerminateInstances", f"{EC2}instance/i", {}),
    "give machines another role": (
        "karpenter",
        "iam:PassRole",
        f"{ROLES}mainline-prod-ci-apply",
        {"iam:PassedToService": "ec2.amazonaws.com"},
    ),
    "give another service the nodes' role": (
        "karpenter",
        "iam:PassRole",
        f"{ROLES}mainline-prod-node",
        {"iam:PassedToService": "lambda.amazonaws.com"},
    ),
    "make a role": ("karpenter", "iam:CreateRole", f"{ROLES}x", {}),
    "read another's secret": (
        "external-secrets",
        "secretsmanager:GetSecretValue",
        f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:mainline/dev/git-AbCdEf",
        {},
    ),
    "write a secret": (
        "external-secrets",
        "secretsmanager:PutSecretValue",
        f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:mainline/prod/git-AbCdEf",
        {},
    ),
    "point another name at it": (
        "external-dns",
        "route53:ChangeResourceRecordSets",
        "arn:aws:route53:::hostedzone/Z1",
        {
            "route53:ChangeResourceRecordSetsNormalizedRecordNames": ["www.example.com"],
            "route53:ChangeResourceRecordSetsRecordTypes": ["A"],
        },
    ),
    "change names that nobody says": (
        "external-dns",
        "route53:ChangeResourceRecordSets",
        "arn:aws:route53:::hostedzone/Z1",
        {},
    ),
    "move the zone's mail": (
        "external-dns",
        "route53:ChangeResourceRecordSets",
        "arn:aws:route53:::hostedzone/Z1",
        {
            "route53:ChangeResourceRecordSetsNormalizedRecordNames": ["models.example.com"],
            "route53:ChangeResourceRecordSetsRecordTypes": ["MX"],
        },
    ),
    "delete another's balancer": (
        "aws-load-balancer-controller",
        "elasticloadbalancing:DeleteLoadBalancer",
        f"{BALANCING}loadbalancer/net/x/1",
        {"aws:ResourceTag/elbv2.k8s.aws/cluster": "mainline-dev"},
    ),
    "open the database's security group": (
        "aws-load-balancer-controller",
        "ec2:AuthorizeSecurityGroupIngress",
        f"{EC2}security-group/sg-database",
        {},
    ),
    "make a role beyond the boundary": ("ci-apply", "iam:CreateRole", f"{ROLES}x", {}),
    "make a role elsewhere": (
        "ci-apply",
        "iam:CreateRole",
        f"arn:aws:iam::{ACCOUNT}:role/admin",
        {"iam:PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/mainline/prod/mainline-prod-boundary"},
    ),
    "widen the boundary": (
        "ci-apply",
        "iam:CreatePolicyVersion",
        f"arn:aws:iam::{ACCOUNT}:policy/mainline/prod/mainline-prod-boundary",
        {},
    ),
    "trust somebody else": (
        "ci-apply",
        "iam:UpdateAssumeRolePolicy",
        f"{ROLES}mainline-prod-ci-apply",
        {},
    ),
    "make a user": ("ci-apply", "iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/x", {}),
    "remove an artifact": (
        "ci-promote",
        "s3:DeleteObject",
        "arn:aws:s3:::mainline-prod-models-333333333333/iris/d/x",
        {},
    ),
    "push over an image of another": (
        "ci-images",
        "ecr:PutImage",
        f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/other",
        {},
    ),
    "delete an image": (
        "ci-images",
        "ecr:BatchDeleteImage",
        f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/mainline/v2serve",
        {},
    ),
    "read a model in a pull request": (
        "ci-plan",
        "s3:GetObject",
        "arn:aws:s3:::mainline-prod-models-333333333333/iris/d/x",
        {},
    ),
    "change the state in a pull request": (
        "ci-plan",
        "s3:PutObject",
        "arn:aws:s3:::example-mainline-state-prod/x",
        {},
    ),
    "read a secret in a pull request": ("ci-plan", "secretsmanager:GetSecretValue", "*", {}),
}


@pytest.mark.parametrize("question", MAY.values(), ids=MAY)
def test_a_role_may(question: Question, prod: Graph) -> None:
    assert may(prod, *question)


@pytest.mark.parametrize("question", MAY_NOT.values(), ids=MAY_NOT)
def test_a_role_may_not(question: Question, prod: Graph) -> None:
    assert not may(prod, *question)


HERE = "repo:example/mainline:environment:prod"
CLAIMS = {"aud": "sts.amazonaws.com", "repository": "example/mainline", "ref": "refs/heads/main"}


@pytest.mark.parametrize(
    ("role", "claims", "expected"),
    [
        ("ci-plan", {"sub": "repo:example/mainline:pull_request"}, True),
        ("ci-plan", {"sub": "repo:someone/mainline:pull_request"}, False),
        ("ci-plan", {"sub": "repo:example/mainline:ref:refs/heads/x"}, False),
        ("ci-apply", {"sub": HERE}, True),
        ("ci-apply", {"sub": HERE, "ref": "refs/heads/x"}, False),
        ("ci-apply", {"sub": HERE, "aud": "other"}, False),
        ("ci-apply", {"sub": "repo:example/mainline:environment:dev"}, False),
        ("ci-apply", {"sub": "repo:example/mainline:pull_request"}, False),
        ("ci-promote", {"sub": HERE}, True),
        ("ci-promote", {"sub": "repo:example/mainline:pull_request"}, False),
        ("ci-images", {"sub": "repo:example/mainline:ref:refs/heads/main"}, True),
        ("ci-images", {"sub": "repo:example/mainline:ref:refs/tags/v1"}, False),
    ],
)
def test_github_s_word_opens_only_what_it_names(
    role: str, claims: dict[str, str], expected: bool, prod: Graph
) -> None:
    trust = prod.one("iam.Role", f"mainline-prod-{role}").document("assumeRolePolicy")
    context = {f"{GITHUB}:{claim}": value for claim, value in {**CLAIMS, **claims}.items()}
    asks = ("sts:AssumeRoleWithWebIdentity", "")
    principal = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{GITHUB}"
    assert allowed([trust], *asks, context, principal) is expected
    assert not allowed([trust], *asks, context, f"arn:aws:iam::{ACCOUNT}:oidc-provider/other")


@pytest.mark.parametrize(
    "action",
    [
        "cloudtrail:StopLogging",
        "guardduty:DeleteDetector",
        "iam:CreateUser",
        "iam:CreateRole",
        "kms:ScheduleKeyDeletion",
        "organizations:LeaveOrganization",
        "s3:BypassGovernanceRetention",
        "backup:DeleteRecoveryPoint",
    ],
)
def test_no_role_in_the_cluster_could_ever(action: str, prod: Graph) -> None:
    """Whatever its policy said, the boundary says no."""
    everything = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    limit = prod.one("iam.Policy", "boundary").document("policy")
    assert not (allowed([everything], action, "*") and allowed([limit], action, "*"))


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_role_but_the_one_that_makes_roles_has_the_boundary(env: str) -> None:
    roles = own(env).of("iam.Role")
    assert [role.name for role in roles if "permissionsBoundary" not in role.inputs] == [
        f"mainline-{env}-ci-apply"
    ]
    assert {role.inputs["path"] for role in roles} == {f"/mainline/{env}/"}


# What parliament says although it is right as it is, and why.
KNOWN = {
    "Unknown condition kms:ResourceAliases": "a condition of KMS that is younger than parliament's list",
    "Unknown condition elasticloadbalancing:CreateAction": "a condition that is younger than parliament's list",
    "Unknown action elasticloadbalancing:ModifyIpPools": "an action that is younger than parliament's list",
    "'ec2:RunInstances', 'required_format'": "each kind of resource has its own conditions, so its own statement",
    "'ec2:CreateSecurityGroup', 'required_format'": "the VPC has no tag that a request could be held to",
    "'ssm:GetParameter', 'required_format'": "AWS' own parameters have no account in their ARN",
}


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_parliament_has_nothing_new_to_say_about_any_policy(env: str) -> None:
    said = {
        f"{role.name}: {finding}"
        for role in own(env).of("iam.Role")
        for policy in role.inputs.get("inlinePolicies", [])
        for finding in findings(policy["policy"])
    }
    assert {line for line in said if not any(known in line for known in KNOWN)} == set()
    assert {known for known in KNOWN if not any(known in line for line in said)} == set()


def test_parliament_would_notice_an_action_that_does_not_exist() -> None:
    policy = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObjekt", "Resource": "*"}]}'
    assert "s3:GetObjekt" in findings(policy)[0]


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_no_policy_of_ours_allows_every_action_of_a_service(env: str) -> None:
    for role in own(env).of("iam.Role"):
        for policy in role.inputs.get("inlinePolicies", []):
            for statement in json.loads(policy["policy"])["Statement"]:
                if statement["Effect"] == "Allow":
                    assert not [action for action in statement["Action"] if "*" in action], role.name
