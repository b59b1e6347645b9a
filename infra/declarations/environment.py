"""What an environment can do: data only, so that no code asks for its name."""

from itertools import pairwise
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from infra.declarations import naming
from infra.declarations.ceiling import Ceilings, Quota
from infra.declarations.cloud import Cloud
from infra.declarations.declaration import Declaration, Many
from infra.declarations.errors import MisfitError
from infra.declarations.parts import PartName, Place, misfits
from infra.declarations.quantity import Cpu, Memory
from infra.declarations.scalars import (
    Autoscaler,
    Branch,
    Cluster,
    Context,
    Drain,
    GitUrl,
    Host,
    Image,
    Percent,
    Port,
    Replicas,
    Slug,
    Store,
    Url,
)


class Images(Declaration):
    """What runs in pods; the defaults are this repository's own images, built by its release workflow."""

    v2serve: Image = "mainline/v2serve:0.1.0"
    training: Image = "mainline/training:0.1.0"
    fleet: Image = "mainline/training-fleet:0.1.0"  # of jobs that learn with torch and its like
    pinned: Literal["tag", "digest"] = "tag"  # `digest` refuses tags, here and in the cluster

    @model_validator(mode="after")
    def _by_digest(self) -> Self:
        for name in ("v2serve", "training", "fleet"):
            image = getattr(self, name)
            if self.pinned == "digest" and "@sha256:" not in image:
                fix = "images are pinned by digest here; write 'name@sha256:<64 hex>'"
                raise MisfitError((name,), f"{image!r} is a tag, and {fix}")
        return self


class Gateway(Declaration):
    """The cluster's implementation of Gateway API, and what it can do."""

    class_name: Slug = Field(default="envoy", alias="class")
    pods: Slug = "envoy-gateway-system"  # the namespace of its data plane, which may call model servers
    public: bool = False  # whether the Internet reaches it, or the network of the environment only
    mirrors: bool = True  # shadow releases need RequestMirror, which not every implementation has
    certificate: Slug | None = None  # the TLS secret of the https listener, in namespace `gateway`


def _images(cloud: Cloud) -> dict[str, str]:
    """This repository's own images, in the registry of the environment's account."""
    defaults = {name: str(info.default) for name, info in Images.model_fields.items()}
    host = naming.image_host(cloud)
    return {name: f"{host}/{defaults[name]}" for name in ("v2serve", "training", "fleet")}


class ReplicasOverride(Declaration):
    min: Replicas | None = None
    max: Replicas | None = None


class ResourcesOverride(Declaration):
    cpu: Cpu | None = None
    memory: Memory | None = None


class ModelOverride(Declaration):
    """How much of one model an environment runs, where that differs from model.yaml."""

    replicas: ReplicasOverride = ReplicasOverride()
    resources: ResourcesOverride = ResourcesOverride()


class Environment(Declaration):
    """One stack. Raises at construction if two fields contradict each other."""

    name: Slug
    cluster: Cluster = "eks"
    cloud: Cloud | None = None  # what `eks` makes in AWS; other clusters make nothing there
    context: Context | None = None  # of the kubeconfig, where `existing` installs Argo CD
    store: Store
    endpoint: Url | None = None  # of an S3 that is not Amazon's
    credentials: Slug | None = None  # the Secret, in `models` and `training`, with the store's variables
    repository: GitUrl
    branch: Branch = "main"
    registry: Url
    domain: Host | None = None
    gateway: Gateway = Gateway()
    port: Port = 8080
    trains: bool = False
    queue: Slug | None = (
        None  # Kueue's LocalQueue, in `training`, that Jobs wait in; none: they start at once
    )
    quota: Quota | None = None  # of that queue, where Kueue is one of the parts
    datasets: Store | None = None  # below <datasets>/<job>/ lie a job's data files, and its checkpoints
    steps: Many[Percent] = ()
    standby: bool = False
    floor: Replicas = 1
    autoscaler: Autoscaler = "hpa"
    drain: Drain = (
        15  # seconds that a server told to stop still answers, while the gateways forget its address
    )
    register_manifests: bool = True
    parts: Many[
        PartName
    ] = ()  # charts of other projects that Argo CD installs; none where somebody else does
    images: Images = Images()
    ceilings: Ceilings = Ceilings()
    models: dict[Slug, ModelOverride] = Field(default_factory=dict)

    @property
    def functions(self) -> bool:
        """Whether AWS Lambda serves models here that want it; elsewhere they are served as all others."""
        return self.cluster == "eks"

    @model_validator(mode="before")
    @classmethod
    def _computed(cls, given: Any) -> Any:
        """On EKS the store and the images have names that follow from the account, unless a stack file says others."""
        if not isinstance(given, dict) or given.get("cluster", "eks") in ("existing", "embedded"):
            return given
        try:
            cloud = Cloud.model_validate(given.get("cloud"))
        except ValidationError:  # refused with its own reason, which a store without a name is not
            return {"store": "s3://unnamed", **given}
        images = given.get("images", {})
        own = {"images": {**_images(cloud), **images}} if isinstance(images, dict) else {}
        return {"store": naming.store(cloud, str(given.get("name"))), **given, **own}

    @model_validator(mode="after")
    def _has_a_bucket(self) -> Self:
        own = self.cluster == "eks" and self.store.startswith("s3://") and not self.endpoint
        bucket = naming.bucket_of(self.store)[0]
        if own and not self.credentials and not naming.is_bucket(bucket):
            fix = "use 3 to 63 of a-z, 0-9 and -, or leave it out: then it is named after the account"
            raise MisfitError(("store",), f"{bucket!r} is no name that S3 takes for a bucket; {fix}")
        return self

    @model_validator(mode="after")
    def _has_a_cloud(self) -> Self:
        if self.cluster == "eks" and self.cloud is None:
            fix = "add 'mainline:cloud:', or say 'mainline:cluster: existing'"
            raise MisfitError(("cluster",), f"{self.cluster!r} has no account to be made in; {fix}")
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        cloud = self.cloud if self.functions else None
        place = Place(
            aws=cloud is not None,
            database=bool(cloud and cloud.database),
            domain=self.domain is not None,
            secrets=cloud.secrets if cloud else (),
        )
        for where, text in misfits(self.parts, place):
            raise MisfitError(where, text)
        if self.queue and "kueue" in self.parts and self.quota is None:
            fix = "write `quota: {cpu: '32', memory: 64Gi}`"
            raise MisfitError(("queue",), f"{self.queue!r} has no quota, so nothing would ever start; {fix}")
        return self

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for low, high in pairwise(self.steps):
            if low >= high:
                raise MisfitError(
                    ("steps",), f"{list(self.steps)} does not rise; write the percentages in rising order"
                )
        if self.endpoint and not (self.store.startswith("s3://") and self.endpoint.startswith("http")):
            raise MisfitError(
                ("endpoint",),
                f"{self.endpoint!r} does not fit store {self.store!r}; it is http(s):// of an s3://",
            )
        if self.gateway.certificate and not self.domain:
            raise MisfitError(
                ("gateway", "certificate"),
                f"{self.gateway.certificate!r} has no host name to certify; set mainline:domain",
            )
        return self
