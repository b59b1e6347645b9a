"""Roles may do what is named: no wildcard for actions that change something, none for whose things they are."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.cloud.resource import Facts, Json, Resource, Rule, allowed, document, each, listed, part

_POLICIES = (
    "aws:iam/policy:Policy",
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
# AWS knows no resource for these (service authorization reference), so "*" is the only thing to write.
_NOBODYS = {
    "cloudwatch:PutMetricData",
    "ecr:GetAuthorizationToken",
    "pricing:GetProducts",
    "ssm:DescribeParameters",
    "sts:GetCallerIdentity",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
}


def _wild(one: Resource, _: Facts) -> Iterator[str]:
    for given in _documents(one):
        found = document(given)
        if found is None and isinstance(given, str):
            yield "has a policy that is not JSON; build it from a mapping"
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
        yield from _of_federation(statement.get("Condition") or {})


def _of_federation(condition: Json) -> Iterator[str]:
    """An identity provider of the world knows everybody's workflows; `sub` says whose."""
    asked = {key: value for test in condition.values() for key, value in test.items()}
    subs = [value for key, given in asked.items() if key.endswith(":sub") for value in listed(given)]
    if not subs:
        yield "trusts an identity provider whoever it speaks for; add a Condition on its :sub"
    for value in subs:
        if re.match(r"\*|repo:\*|repo:[^/:]*/\*", str(value)):
            yield f"trusts {value!r}, which is also somebody else's; name the repository"


WILDCARDS = Rule(
    "iam-wildcards",
    "A role may do what is named, to what is named, for whom is named.",
    each(_wild, _ROLE, *_POLICIES, *_ATTACHED),
)
