"""A release of a model as it is served: its artifact loaded, warmed up and given a lane."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from v2serve.artifact import ArtifactError
from v2serve.call import Call
from v2serve.contract import RequestCheck
from v2serve.lanes import Lane, LaneLimits, Result, choose_lane
from v2serve.model import Runtime
from v2serve.pipeline import Pipeline, load_pipeline
from v2serve.protocol import Refusal, shown
from v2serve.warmup import golden_answer, warm_up

REFERENCE = "reference.json"

_log = logging.getLogger("v2serve")


class ModelRelease(NamedTuple):
    """What Git names, and the folder where its verified bytes lie."""

    name: str
    version: str | None
    digest: str
    run: str | None
    folder: Path


class Served:
    """One release that can be asked; `infer` answers at once or with a future, as its lane does."""

    __slots__ = (
        "check",
        "contract",
        "digest",
        "infer",
        "lane",
        "name",
        "reference",
        "run",
        "seconds",
        "version",
    )

    def __init__(self, release: ModelRelease, pipeline: Pipeline, lane: Lane, seconds: float) -> None:
        self.name, self.version, self.digest, self.run = release[:4]
        self.contract = pipeline.contract
        self.check = RequestCheck(pipeline.contract)
        self.lane = lane
        self.infer: Callable[[Call], Result] = lane.run
        self.seconds = seconds  # of its golden request
        self.reference = _reference(release.folder)

    @property
    def ready(self) -> bool:
        """False while every worker of its lane hangs."""
        return self.lane.healthy


def load(release: ModelRelease, limits: LaneLimits, runtime: Runtime) -> Served:
    """The release, ready for its first caller; ArtifactError says in one line why not. Bytes are verified before."""
    pipeline = load_pipeline(release.folder, release.name, runtime)
    seconds = warm_up(golden_answer(RequestCheck(pipeline.contract), pipeline.run), release.folder)
    return Served(release, pipeline, choose_lane(pipeline, limits, seconds), seconds)


class Models:
    """The releases of one process, by name."""

    def __init__(self, models: Sequence[Served]) -> None:
        refuse_twins(models)
        self._models = {model.name: model for model in models}

    def __iter__(self) -> Iterator[Served]:
        return iter(self._models.values())

    def __len__(self) -> int:
        return len(self._models)

    @property
    def ready(self) -> bool:
        return all(model.ready for model in self)

    def find(self, name: str, version: str | None) -> Served:
        """The model of this name, in this version if one is named; Refusal 404 says what is served instead."""
        model = self._models.get(name)
        if model is None:
            served = ", ".join(self._models) or "no model"
            raise Refusal(404, f"model {shown(name)} is not served here; this server serves {served}")
        if version is not None and version != model.version:
            serves = f"version {model.version} is" if model.version else "it has no version"
            raise Refusal(404, f"version {shown(version)} of {name} is not served here; {serves}")
        return model


def refuse_twins(releases: Sequence[ModelRelease] | Sequence[Served]) -> None:
    """Raise ArtifactError if two have one name; best asked before they are loaded."""
    seen: dict[str, str] = {}
    for release in releases:
        own = f"version {release.version} ({release.digest})"
        if other := seen.get(release.name):
            raise ArtifactError(
                f"two models are named {release.name}: {other} and {own}; give each its own name"
            )
        seen[release.name] = own


def _reference(folder: Path) -> dict[str, Any] | None:
    """What the training data looked like, as the artifact has it; drift is not measured without."""
    path = folder / REFERENCE
    if not path.exists():
        return None
    try:
        reference = json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        _log.warning("%s: %s; drift is not measured", REFERENCE, error)
        return None
    return reference if isinstance(reference, dict) else None
