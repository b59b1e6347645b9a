"""What a team declares about a training job: its data by digest, what it needs, and how long it may take."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from infra.declarations.declaration import Declaration, Many
from infra.declarations.errors import MisfitError
from infra.declarations.model import Resources
from infra.declarations.scalars import FileName, PackageFile, RelativePath, Sentence, Sha256, Slug, Url


class Data(Declaration):
    """A file that the job learns from: of a package, of an address, or derived from what a page offers (`source`).

    `mirror` is its path below the folder that a mirror is, where that is not its name.
    """

    name: FileName
    sha256: Sha256
    package: PackageFile | None = None
    url: Url | None = None
    source: Url | None = None
    mirror: RelativePath | None = None
    licence: Sentence | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if [self.package, self.url, self.source].count(None) != 2:
            raise MisfitError(
                ("name",), f"{self.name!r} needs one source; write one of package, url and source"
            )
        return self


class TrainingJob(Declaration):
    name: Slug
    owner: Slug
    model: Slug
    data: Annotated[Many[Data], Field(min_length=1)]
    image: Literal["train", "fleet"] = (
        "train"  # the groups of packages that it learns with; `fleet` has torch
    )
    nodes: Annotated[int, Field(ge=1, le=64)] = 1  # machines that train one model together
    gpus: Annotated[int, Field(ge=0, le=16)] = 0  # of each node
    resources: Resources = Resources()
    deadline: Annotated[int, Field(ge=60, le=7 * 24 * 3600)] = 1800  # seconds, all retries together
    retries: Annotated[int, Field(ge=0, le=10)] = 2

    @model_validator(mode="after")
    def _torch_where_it_is_needed(self) -> Self:
        for name, asked in (("nodes", self.nodes > 1), ("gpus", self.gpus > 0)):
            if asked and self.image != "fleet":
                fix = "the image 'train' has nothing that can use them; write 'image: fleet'"
                raise MisfitError((name,), f"{getattr(self, name)} asked, and {fix}")
        return self

    @model_validator(mode="after")
    def _one_source_a_file(self) -> Self:
        names = [data.name for data in self.data]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise MisfitError(("data", index, "name"), f"{name!r} is there twice; remove one")
        return self
