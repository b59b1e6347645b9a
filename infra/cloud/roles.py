"""Roles: each with its own policy as a whole, so that one that was added by hand disappears."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.cloud.component import Component, Place, text
from infra.declarations import naming
from infra.iam.boundary import boundary
from infra.iam.document import Document

MANAGED = f"arn:{naming.PARTITION}:iam::aws:policy/"
Own = Mapping[str, Any] | pulumi.Output[str]


class Boundary(Component):
    """The limit of all roles; they are made after it."""

    def __init__(self, place: Place, opts: pulumi.ResourceOptions) -> None:
        super().__init__("Boundary", place, opts)
        self.policy = aws.iam.Policy(
            "boundary",
            name=naming.boundary(place.env),
            path=naming.role_path(place.env),
            description="What no role of this environment can exceed",
            policy=text(boundary(place.cloud, place.env)),
            opts=self.child(),
        )
        self.register_outputs({})


def role(
    place: Place,
    name: str,
    trust: Document,
    opts: pulumi.ResourceOptions,
    *,
    own: Own | None = None,
    managed: Sequence[str] = (),
    limited: bool = True,
    tags: Mapping[str, str] | None = None,
) -> aws.iam.Role:
    """`own`: its policy; `managed`: names of AWS' policies, attached and nothing else with them."""
    policy = own if isinstance(own, pulumi.Output) or own is None else text(dict(own))
    made = aws.iam.Role(
        name,
        name=name,
        path=naming.role_path(place.env),
        permissions_boundary=place.limit if limited else None,
        assume_role_policy=text(trust),
        inline_policies=[{"name": "own", "policy": policy}] if policy is not None else None,
        tags=dict(tags) if tags else None,
        opts=opts,
    )
    for arn in managed:
        short = arn.rpartition("/")[2]
        aws.iam.RolePolicyAttachment(
            f"{name}-{short}", role=made.name, policy_arn=f"{MANAGED}{arn}", opts=opts
        )
    return made
