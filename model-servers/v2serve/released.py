"""A release of a model as it is served: its artifact loaded, warmed up and given a lane."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

from v2serve.artifact import ArtifactError
from v2serve.batch_lane import BatchLane
from v2serve.batches import check_batchable, rehearse
from v2serve.call import Call
from v2serve.contract import RequestCheck
from v2serve.explain.explainer import Explainer
from v2serve.explain.lane import ExplainingLane
from v2serve.explain.plan import PLAN, load_plan
from v2serve.lanes import InlineLane, Lane, LaneLimits, Result, ThreadLane
from v2serve.model import Runtime
from v2serve.pace import INLINE_SECONDS, Pace, measured
from v2serve.pipeline import Pipeline, load_pipeline
from v2serve.protocol import Refusal, shown
from v2serve.stop import check_stop
from v2serve.tensors import Array
from v2serve.turns import Turns
from v2serve.warmup import check_covered, golden_answer, golden_call, load_golden, warm_up


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
        "deadline_seconds",
        "digest",
        "explain",
        "explainer",
        "infer",
        "lane",
        "name",
        "run",
        "run_now",
        "seconds",
        "version",
    )

    def __init__(
        self,
        release: ModelRelease,
        pipeline: Pipeline,
        lane: Lane,
        seconds: float,
        limits: LaneLimits,
        explainer: Explainer | None = None,
    ) -> None:
        self.name, self.version, self.digest, self.run = release[:4]
        self.contract = pipeline.contract
        self.check = RequestCheck(pipeline.contract)
        explaining = None if explainer is None else ExplainingLane(lane, explainer, limits)
        self.lane: Lane = explaining or lane
        self.explain = None if explaining is None else explaining.explain
        self.infer: Callable[[Call], Result] = lane.run
        self.run_now: Callable[[Call], Sequence[Array]] = pipeline.run  # for a thread of the lane
        self.explainer = explainer
        self.deadline_seconds = limits.deadline_seconds
        self.seconds = seconds  # of its golden request

    @property
    def ready(self) -> bool:
        """False while every worker of its lane hangs."""
        return self.lane.healthy


def load(release: ModelRelease, limits: LaneLimits, runtime: Runtime) -> Served:
    """The release, ready for its first caller; ArtifactError says in one line why not. Bytes are verified before."""
    pipeline = load_pipeline(release.folder, release.name, runtime)
    if limits.max_batch > 1:
        check_batchable(pipeline.contract)
    check = RequestCheck(pipeline.contract)
    goldens = load_golden(release.folder)
    seconds = longest = warm_up(golden_answer(check, pipeline.run), goldens)
    check_covered(pipeline.contract, goldens)
    calls = [golden_call(check, golden.request) for golden in goldens]
    if limits.max_batch > 1:
        longest = max(seconds, rehearse(pipeline, calls, limits.max_batch))
    check_stop()
    turns = Turns(needed=pipeline.code.present and limits.concurrency == 1)
    lane = choose_lane(pipeline, limits, longest, calls, turns)
    explainer = _explainer(release.folder, pipeline, calls, limits, turns)
    return Served(release, pipeline, lane, seconds, limits, explainer)


def _explainer(
    folder: Path, pipeline: Pipeline, calls: Sequence[Call], limits: LaneLimits, turns: Turns
) -> Explainer | None:
    """Tried on the golden requests: what cannot be explained there can be explained nowhere."""
    plan = load_plan(folder, pipeline.contract)
    if plan is None:
        return None
    explainer = Explainer(pipeline, plan, turns)
    try:
        explainer.rehearse(calls, limits.deadline_seconds / 2)
    except Refusal as refusal:
        raise ArtifactError(f"{PLAN}: a golden request cannot be explained: {refusal}") from refusal
    check_stop()
    return explainer


def lane_kind(limits: LaneLimits, seconds: float, has_code: bool) -> str:
    """Where a model runs whose golden request, or fullest batch, takes so many seconds."""
    inline = seconds <= INLINE_SECONDS and not has_code  # code may hang, which must not stop the loop
    if limits.max_batch > 1:
        return "inline batches" if inline else "batches"
    return "inline" if inline else "threads"


def choose_lane(
    pipeline: Pipeline, limits: LaneLimits, seconds: float, calls: Sequence[Call], turns: Turns
) -> Lane:
    """Of a model whose golden `calls` take so many seconds; for runs inline, what else fits is measured with them."""
    kind = lane_kind(limits, seconds, pipeline.code.present)
    pace = measured(pipeline, calls) if kind.startswith("inline") else Pace(pipeline.contract)
    if kind.endswith("batches"):
        return BatchLane(pipeline, limits, kind == "inline batches", pace, turns)
    return InlineLane(pipeline, limits, pace) if kind == "inline" else ThreadLane(pipeline, limits, turns)


class Named(Protocol):
    """What a model is found by."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str | None: ...
    @property
    def digest(self) -> str: ...
    @property
    def ready(self) -> bool: ...


M = TypeVar("M", bound=Named)


class Models(Generic[M]):
    """The releases of one process, by name."""

    def __init__(self, models: Sequence[M]) -> None:
        refuse_twins(models)
        self._models = {model.name: model for model in models}

    def __iter__(self) -> Iterator[M]:
        return iter(self._models.values())

    def __len__(self) -> int:
        return len(self._models)

    @property
    def ready(self) -> bool:
        return all(model.ready for model in self)

    def find(self, name: str, version: str | None) -> M:
        """The model of this name, in this version if one is named; Refusal 404 says what is served instead."""
        model = self._models.get(name)
        if model is None:
            served = ", ".join(self._models) or "no model"
            raise Refusal(404, f"model {shown(name)} is not served here; this server serves {served}")
        if version is not None and version != model.version:
            serves = f"version {model.version} is" if model.version else "it has no version"
            raise Refusal(404, f"version {shown(version)} of {name} is not served here; {serves}")
        return model


def refuse_twins(releases: Sequence[ModelRelease] | Sequence[Named]) -> None:
    """Raise ArtifactError if two have one name; best asked before they are loaded."""
    seen: dict[str, str] = {}
    for release in releases:
        own = f"version {release.version} ({release.digest})"
        if other := seen.get(release.name):
            raise ArtifactError(
                f"two models are named {release.name}: {other} and {own}; give each its own name"
            )
        seen[release.name] = own
