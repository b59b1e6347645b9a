"""What all components have in common: where they are made, and whose children their resources are."""

import json
from dataclasses import dataclass
from typing import Any

import pulumi

from infra.declarations.cloud import Cloud


@dataclass(frozen=True, slots=True)
class Place:
    """An environment in AWS. `limit`: the ARN of the boundary of its roles, which waits until that is made."""

    cloud: Cloud
    env: str
    limit: pulumi.Input[str] = ""


class Component(pulumi.ComponentResource):
    """A part of the cloud that is made and removed as a whole; one of a kind in each environment."""

    def __init__(self, kind: str, place: Place, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"mainline:cloud:{kind}", f"{kind.lower()}-{place.env}", None, opts)
        self.place = place

    def child(self, **more: Any) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, **more)

    def kept(self, **more: Any) -> pulumi.ResourceOptions:
        """Of what holds data: the engine deletes it only after a commit that says `protect: false`."""
        return self.child(protect=self.place.cloud.protect, **more)


def text(document: dict[str, Any]) -> str:
    """A document as AWS takes it, the same bytes each time."""
    return json.dumps(document, sort_keys=True)
