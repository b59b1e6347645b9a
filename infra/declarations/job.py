"""What a team declares about a training job: its data by digest, what it needs, and how long it may take."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from infra.declarations.declaration import Declaration, Many
from infra.declarations.errors import MisfitError
from infra.declarations.model import Resources
from infra.declarations.scalars import FileName, PackageFile, Sha256, Slug, Url


class Data(Declaration):
    """A file that the job learns from; its bytes come from an installed package or from an address."""

    name: FileName
    sha256: Sha256
    package: PackageFile | None = None
    url: Url | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.package is None) == (self.url is None):
            raise MisfitError(("name",), f"{self.name!r} needs one source; write either package or url")
        return self


class TrainingJob(Declaration):
    name: Slug
    owner: Slug
    model: Slug
    data: Annotated[Many[Data], Field(min_length=1)]
    resources: Resources = Resources()
    deadline: Annotated[int, Field(ge=60, le=7 * 24 * 3600)] = 1800  # seconds, all retries together
    retries: Annotated[int, Field(ge=0, le=10)] = 2

    @model_validator(mode="after")
    def _one_source_a_file(self) -> Self:
        names = [data.name for data in self.data]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise MisfitError(("data", index, "name"), f"{name!r} is there twice; remove one")
        return self
