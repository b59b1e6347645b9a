"""Models that AWS Lambda serves: how large their function is, and what Lambda cannot do for them."""

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import Field, model_validator

from infra.declarations import naming
from infra.declarations.declaration import Declaration
from infra.declarations.environment import Environment
from infra.declarations.errors import Location, MisfitError
from infra.declarations.release import Release


class Function(Declaration):
    """`memory` in MiB, by which Lambda gives cores, one for 1,769; each instance answers one call at a time."""

    memory: Annotated[int, Field(ge=512, le=10_240)] = 1769
    provisioned: Annotated[int, Field(ge=0, le=1000)] = 0  # instances that are kept started, and paid for
    ceiling: Annotated[int, Field(ge=1, le=1000)] = 10  # instances at most: what bounds the bill

    @model_validator(mode="after")
    def _within(self) -> Self:
        if self.provisioned > self.ceiling:
            fix = "raise the ceiling, or keep fewer"
            raise MisfitError(("provisioned",), f"{self.provisioned} is above ceiling {self.ceiling}; {fix}")
        return self


def misfits(environment: Environment, release: Release) -> Iterator[tuple[Location, str]]:
    """Why a release cannot be served by Lambda in this environment, at a place of the release file."""
    candidate, cloud = release.candidate, environment.cloud
    if candidate and candidate.mode != "canary":
        text = f"{candidate.mode!r} is not what Lambda's aliases can do, which share calls out; use canary"
        yield ("candidate", "mode"), text
    image = environment.images.v2serve
    if cloud and (naming.repository(cloud, image) is None or "@sha256:" not in image):
        host = naming.image_host(cloud)
        text = f"image {image!r} of {environment.name} is not one that Lambda runs for `target: lambda`"
        yield (), f"{text}; set mainline:images v2serve to '{host}/...@sha256:<64 hex>'"
    if environment.store and not environment.store.startswith("s3://"):
        yield (
            (),
            f"store {environment.store!r} of {environment.name} is not S3, where functions read; use s3://",
        )
