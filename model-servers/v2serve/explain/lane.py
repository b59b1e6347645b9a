"""Explanations beside a model's lane: in a thread of their own, one after the other, few of them waiting."""

from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from v2serve.call import Call
from v2serve.explain.explainer import Explainer
from v2serve.lanes import Lane, LaneLimits, Result, ThreadLane
from v2serve.tensors import Array

_WAITING = 4  # each may take seconds


class ExplainingLane:
    """The model's lane for all other calls; what is counted is of both."""

    def __init__(self, lane: Lane, explainer: Explainer, limits: LaneLimits) -> None:
        self._lane = lane
        own = LaneLimits(1, min(_WAITING, limits.queue), 1, limits.deadline_seconds)
        self._explanations = ThreadLane(explainer, own, what="this model's explanations")
        self.run: Callable[[Call], Result] = lane.run
        self.work: Callable[..., Future[Any]] = lane.work

    def explain(self, call: Call) -> "Future[Sequence[Array]]":
        """The answer and what explains it; Refusal 503 where as many wait as may."""
        return self._explanations.run(call)

    @property
    def batches(self) -> Mapping[int, int]:
        return self._lane.batches

    @property
    def refused(self) -> int:
        return self._lane.refused + self._explanations.refused

    @property
    def expired(self) -> int:
        return self._lane.expired + self._explanations.expired

    @property
    def queued(self) -> int:
        return self._lane.queued + self._explanations.queued

    @property
    def running(self) -> int:
        return self._lane.running + self._explanations.running

    @property
    def healthy(self) -> bool:
        """False, too, while an explanation hangs: it may have the model's turn."""
        return self._lane.healthy and self._explanations.healthy

    def close(self) -> None:
        """Let the threads end once they have done what is queued."""
        self._lane.close()
        self._explanations.close()
