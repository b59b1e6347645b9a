"""What IAM documents are made of."""

from collections.abc import Mapping
from typing import Any

Statement = dict[str, Any]
Document = dict[str, Any]
Condition = Mapping[str, Mapping[str, Any]]

ALL = ("*",)  # for actions that AWS cannot limit to a resource


def document(*statements: Statement) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(
    sid: str, actions: tuple[str, ...], resources: tuple[str, ...], condition: Condition | None = None
) -> Statement:
    statement: Statement = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": list(resources),
    }
    return {**statement, "Condition": condition} if condition else statement


def deny(
    sid: str, actions: tuple[str, ...], resources: tuple[str, ...], condition: Condition | None = None
) -> Statement:
    return {**allow(sid, actions, resources, condition), "Effect": "Deny"}


def granted(
    sid: str,
    principal: Mapping[str, Any] | str,
    actions: tuple[str, ...],
    resources: tuple[str, ...],
    condition: Condition | None = None,
) -> Statement:
    """A statement of a policy that a resource has: a bucket's, a queue's, a key's."""
    return {**allow(sid, actions, resources, condition), "Principal": principal}


def denied_to_all(
    sid: str, actions: tuple[str, ...], resources: tuple[str, ...], condition: Condition
) -> Statement:
    return {**granted(sid, "*", actions, resources, condition), "Effect": "Deny"}


def trusted(
    sid: str, principal: Mapping[str, Any], actions: tuple[str, ...], condition: Condition
) -> Statement:
    """A statement of a role's trust policy: who may take the role, and when."""
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": dict(principal),
        "Action": list(actions),
        **({"Condition": condition} if condition else {}),
    }


def trusts_service(service: str, condition: Condition | None = None) -> Document:
    """A role that a service of AWS takes, such as `eks.amazonaws.com`."""
    return document(trusted("Service", {"Service": service}, ("sts:AssumeRole",), condition or {}))
