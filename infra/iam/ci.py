"""What GitHub's workflows may do: pull requests look, the branch of an environment changes it."""

from typing import Literal

from infra.declarations import naming
from infra.declarations.cloud import Ci, Cloud
from infra.iam.document import ALL, Document, Statement, allow, deny, document, trusted
from infra.iam.pods import writes

Job = Literal["apply", "images", "plan", "promote"]
HOST = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
# Names and settings of everything, and the contents of nothing.
LOOKS = ("SecurityAudit", "job-function/ViewOnlyAccess")
CHANGES = ("PowerUserAccess",)  # everything but IAM, which `manages` below limits


def role_name(env: str, job: Job) -> str:
    return naming.role(env, "ci", job)


def provider_arn(cloud: Cloud) -> str:
    return f"arn:{naming.PARTITION}:iam::{cloud.account}:oidc-provider/{HOST}"


def trusts_pull_requests(cloud: Cloud, ci: Ci) -> Document:
    """Of this repository; GitHub gives none of it to pull requests from forks."""
    return _trusts(cloud, {"sub": f"repo:{ci.github}:pull_request"})


def trusts_environment(cloud: Cloud, ci: Ci, env: str) -> Document:
    """GitHub's environment of our environment's name, whose reviewers GitHub asks, on one branch only."""
    wanted = {"sub": f"repo:{ci.github}:environment:{env}", "ref": f"refs/heads/{ci.branch}"}
    return _trusts(cloud, {**wanted, "repository": ci.github})


def trusts_branch(cloud: Cloud, ci: Ci) -> Document:
    return _trusts(cloud, {"sub": f"repo:{ci.github}:ref:refs/heads/{ci.branch}"})


def _trusts(cloud: Cloud, claims: dict[str, str]) -> Document:
    equal = {f"{HOST}:{claim}": value for claim, value in {"aud": AUDIENCE, **claims}.items()}
    principal = {"Federated": provider_arn(cloud)}
    return document(trusted("GitHub", principal, ("sts:AssumeRoleWithWebIdentity",), {"StringEquals": equal}))


def looks(cloud: Cloud, env: str, ci: Ci, data: tuple[str, ...]) -> Document:
    """A preview: the state of the stack, and no object of the buckets `data`."""
    state = naming.bucket_arn(ci.state)
    objects = tuple(f"{naming.bucket_arn(bucket)}/*" for bucket in data)
    return document(
        allow("ReadState", ("s3:GetObject",), (f"{state}/*",)),
        allow("ListState", ("s3:ListBucket",), (state,)),
        allow("DecryptState", ("kms:Decrypt",), (naming.arn(cloud, "kms", "key/*"),), _state_key(env)),
        deny("NoSecrets", ("secretsmanager:GetSecretValue", "ssm:GetParameter*"), ALL),
        *([deny("NoData", ("s3:GetObject*",), objects)] if objects else []),
    )


def _state_key(env: str) -> dict[str, dict[str, str]]:
    return {"ForAnyValue:StringEquals": {"kms:ResourceAliases": f"alias/{naming.base(env)}-state"}}


def manages(cloud: Cloud, env: str) -> Document:
    """Roles of this environment, none beyond the boundary; PowerUserAccess gives all else."""
    path = f"arn:{naming.PARTITION}:iam::{cloud.account}:{{}}{naming.role_path(env)}*"
    roles, policies = path.format("role"), path.format("policy")
    own = naming.boundary_arn(cloud, env)
    within = {"ArnEquals": {"iam:PermissionsBoundary": own}}
    return document(
        allow("MakeRoles", _ROLES_MADE, (roles,), within),
        allow("ChangeRoles", _ROLES_CHANGED, (roles,)),
        allow("PassRoles", ("iam:PassRole",), (roles,)),
        allow("MakePolicies", _POLICIES, (policies,)),
        allow("Link", ("iam:CreateServiceLinkedRole",), (_linked(cloud),)),
        allow("Federate", _PROVIDER, (provider_arn(cloud),)),
        deny("KeepBoundary", ("iam:CreatePolicyVersion", "iam:DeletePolicy*"), (own,)),
        deny("KeepLimits", ("iam:DeleteRolePermissionsBoundary",), (roles,)),
        deny("NotItself", _ITSELF, (naming.role_arn(cloud, env, role_name(env, "apply")),)),
    )


_ROLES_MADE = (
    "iam:AttachRolePolicy",
    "iam:CreateRole",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
)
_ROLES_CHANGED = (
    "iam:DeleteRole",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:ListInstanceProfilesForRole",
    "iam:ListRolePolicies",
    "iam:ListRoleTags",
    "iam:TagRole",
    "iam:UntagRole",
    "iam:UpdateAssumeRolePolicy",
    "iam:UpdateRole",
)
_POLICIES = (
    "iam:CreatePolicy",
    "iam:GetPolicy",
    "iam:GetPolicyVersion",
    "iam:ListPolicyVersions",
    "iam:TagPolicy",
)
_PROVIDER = (
    "iam:CreateOpenIDConnectProvider",
    "iam:GetOpenIDConnectProvider",
    "iam:TagOpenIDConnectProvider",
)
_ITSELF = (
    "iam:AttachRolePolicy",
    "iam:DeleteRole",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:PutRolePolicy",
    "iam:UpdateAssumeRolePolicy",
)


def _linked(cloud: Cloud) -> str:
    return f"arn:{naming.PARTITION}:iam::{cloud.account}:role/aws-service-role/*"


def promotes(cloud: Cloud, env: str, store: str) -> Document:
    """A promotion adds artifacts to the store; nobody but the lifecycle removes one."""
    bucket, prefix = naming.bucket_of(store)
    return document(*writes(cloud, env, bucket, prefix))


def pushes(cloud: Cloud, repositories: tuple[str, ...]) -> Document:
    """The release workflow pushes images of this repository, and cannot replace one: tags are immutable."""
    actions = (
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:CompleteLayerUpload",
        "ecr:DescribeImages",
        "ecr:GetDownloadUrlForLayer",
        "ecr:InitiateLayerUpload",
        "ecr:PutImage",
        "ecr:UploadLayerPart",
    )
    arns = tuple(naming.repository_arn(cloud, name) for name in repositories)
    return document(_login(), *([allow("Push", actions, arns)] if arns else []))


def _login() -> Statement:
    return allow("LogIn", ("ecr:GetAuthorizationToken",), ALL)
