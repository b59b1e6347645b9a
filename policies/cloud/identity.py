"""Roles may do what is named: no wildcard for actions that change something, none for whose things they are."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policies.cloud.resource import Facts, Found, Json, Resource, Rule, allowed, document, listed, part

_POLICY = "aws:iam/policy:Policy"
_POLICIES = (
    _POLICY,
    "aws:iam/rolePolicy:RolePolicy",
    "aws:iam/userPolicy:UserPolicy",
    "aws:iam/groupPolicy:GroupPolicy",
)
_ROLE = "aws:iam/role:Role"
_ATTACHED = (
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "aws:iam/userPolicyAttachment:UserPolicyAttachment",
    "aws:iam/groupPolicyAttachment:GroupPolicyAttachment",
    "aws:iam/policyAttachment:PolicyAttachment",
)
_MIGHTY = ("AdministratorAccess", "IAMFullAccess", "PowerUserAccess", "AmazonS3FullAccess")
# With a wildcard behind it, an action may only look.
_LOOKS = re.compile(r"[a-z0-9-]+:(?:BatchGet|Describe|Get|List)[A-Za-z]*\*?")
_LISTS = re.compile(r"[a-z0-9-]+:(?:Describe|List)[A-Za-z]*\*?")
# AWS knows no resource for these (service authorization reference), so "*" is the only thing to write; the load
# balancer controller's own policy (kubernetes-sigs/aws-load-balancer-controller) looks at groups of every network.
_NOBODYS = {
    "cloudwatch:PutMetricData",
    "ec2:GetSecurityGroupsForVpc",
    "ecr:GetAuthorizationToken",
    "pricing:GetProducts",
    "ssm:DescribeParameters",
    "sts:GetCallerIdentity",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
}


def _wild(resources: Sequence[Resource], _: Facts) -> Iterator[Found]:
    limits = [str(one.props.get("permissionsBoundary")) for one in resources if one.kind == _ROLE]
    given = [str(one.props.get("policyArn")) for one in resources if one.kind in _ATTACHED]
    for one in resources:
        if _is_named(one, limits) and not _is_named(one, given):
            continue  # a boundary gives nothing: it takes from what others give
        yield from (Found(one, message) for message in _of_resource(one))


def _is_named(one: Resource, arns: Sequence[str]) -> bool:
    """Whether a policy is one of those; names are known before ARNs are."""
    end = f":policy{one.props.get('path') or '/'}{one.props.get('name')}"
    return one.kind == _POLICY and any(arn in one.names or arn.endswith(end) for arn in arns)


def _of_resource(one: Resource) -> Iterator[str]:
    for given in _documents(one):
        found = document(given)
        if found is None and isinstance(given, str):
            yield "has a policy that is no JSON object; build it from a mapping"
        for statement in allowed(found or {}):
            yield from _of_statement(statement)
    if one.kind == _ROLE:
        for statement in allowed(document(one.props.get("assumeRolePolicy")) or {}):
            yield from _of_trust(statement)
    if one.kind in _ATTACHED:
        yield from _of_attachment(str(one.props.get("policyArn", "")))


def _documents(one: Resource) -> list[Any]:
    if one.kind == _ROLE:
        return [part(inline, "policy") for inline in listed(one.props.get("inlinePolicies"))]
    return [one.props.get("policy")] if one.kind in _POLICIES else []


def _of_attachment(arn: str) -> Iterator[str]:
    name = arn.rpartition("/")[2]
    if name in _MIGHTY:
        yield f"attaches {name}; write a policy of what is needed"


def _of_statement(statement: Json) -> Iterator[str]:
    for turned in ("NotAction", "NotResource"):
        if turned in statement:
            yield f"allows by {turned}: everything else, also what AWS adds tomorrow; name what is needed"
    actions = [str(action) for action in listed(statement.get("Action"))]
    for action in actions:
        if "*" in action and not _LOOKS.fullmatch(action):
            yield f"allows {action!r}; name the actions"
    narrow = statement.get("Condition") or "*" not in listed(statement.get("Resource"))
    for action in () if narrow else actions:
        if "*" not in action and action not in _NOBODYS and not _LISTS.fullmatch(action):
            yield f"allows {action} on every resource; name them in Resource, or add a Condition"


def _of_trust(statement: Json) -> Iterator[str]:
    principal = statement.get("Principal")
    parts: Mapping[str, Any] = principal if isinstance(principal, Mapping) else {"AWS": principal}
    if "*" in listed(parts.get("AWS")):
        yield "may be assumed by everybody; name who in Principal"
    if "Federated" in parts:
        condition = statement.get("Condition")
        yield from _of_federation(condition if isinstance(condition, Mapping) else {})


def _of_federation(condition: Json) -> Iterator[str]:
    """An identity provider of the world knows everybody's workflows; `sub` says whose."""
    tests = [test for test in condition.values() if isinstance(test, Mapping)]
    asked = {key: value for test in tests for key, value in test.items()}
    subs = [value for key, given in asked.items() if key.endswith(":sub") for value in listed(given)]
    if not subs:
        yield "trusts an identity provider whoever it speaks for; add a Condition on its :sub"
    for value in subs:
        if re.match(r"\*|repo:\*|repo:[^/:]*/\*", str(value)):
            yield f"trusts {value!r}, which is also somebody else's; name the repository"


WILDCARDS = Rule(
    "iam-wildcards",
    "A role may do what is named, to what is named, for whom is named.",
    _wild,
)
