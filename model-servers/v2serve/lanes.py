"""Where and when a model runs: at once in the thread of the event loop, in threads of its own, or in batches.

Lanes are asked in the thread of the event loop only; their counters are plain ints that a scrape reads.
"""

import asyncio
import contextlib
import math
from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Any, NamedTuple, Protocol

from v2serve.batches import Outcome
from v2serve.call import Call
from v2serve.pipeline import Pipeline
from v2serve.protocol import Refusal
from v2serve.tensors import Array

INLINE_BYTES = 64 << 10  # and so would what comes with a larger body
INLINE_SECONDS = 0.005  # a longer run would hold up the health checks of the same thread

Result = Sequence[Array] | Future[Sequence[Array]]


class LaneLimits(NamedTuple):
    """`concurrency` runs at once, `queue` calls waiting, `max_batch` rows a run, seconds until an answer is late."""

    concurrency: int = 1
    queue: int = 128
    max_batch: int = 1
    deadline_seconds: float = 30.0


class Lane(Protocol):
    """`batches[n]` is how many runs answered n calls; `refused` counts full queues, `expired` late calls."""

    @property
    def batches(self) -> Mapping[int, int]: ...

    @property
    def refused(self) -> int: ...

    @property
    def expired(self) -> int: ...

    @property
    def queued(self) -> int: ...

    @property
    def running(self) -> int: ...

    @property
    def healthy(self) -> bool:
        """False once every worker has been at one call for longer than `deadline_seconds`."""

    def run(self, call: Call) -> Result: ...

    def work(self, function: Callable[[], Any], deadline: float | None = None) -> "Future[Any]":
        """Any function in a thread of this lane: decoding, running and encoding a large body."""


class _Job:
    """One thing to do for one future; `began` is written by the worker, all else by the loop's thread."""

    __slots__ = ("began", "deadline", "function", "future", "timer")

    def __init__(self, function: Callable[[], Any], future: "Future[Any]", deadline: float) -> None:
        self.function = function
        self.future = future
        self.deadline = deadline
        self.began = 0.0
        self.timer: asyncio.TimerHandle | None = None


class _Worker(Thread):
    """Takes jobs until it is given None; a daemon, for a model that hangs must not keep the process."""

    def __init__(
        self, jobs: "SimpleQueue[_Job | None]", done: Callable[[_Job, Outcome, float], None]
    ) -> None:
        super().__init__(name="inference", daemon=True)
        self._jobs = jobs
        self._done = done
        self.started = 0
        self.finished = 0
        self.began: float | None = None

    def run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self.began = begin = perf_counter()
            self.started += 1
            if job.future.done() or begin >= job.deadline:
                outcome: Outcome = late()
            else:
                job.began = begin
                outcome = _outcome(job.function)
            self.began = None
            self.finished += 1
            self._done(job, outcome, perf_counter() - begin)
            del job, outcome  # a waiting worker holds no arrays


class ThreadLane:
    """`concurrency` threads and a bounded queue: a full one is 503, a late call 504, whoever has left is skipped."""

    def __init__(self, pipeline: Pipeline, limits: LaneLimits) -> None:
        self.batches = {1: 0}
        self.refused = 0
        self.expired = 0
        self._pipeline = pipeline
        self._limits = limits
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._workers: list[_Worker] = []
        self._submitted = 0
        self._service = 0.0  # seconds of one job, moving average
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def queued(self) -> int:
        return self._submitted - sum(worker.started for worker in self._workers)

    @property
    def running(self) -> int:
        return sum(worker.began is not None for worker in self._workers)

    @property
    def healthy(self) -> bool:
        oldest = perf_counter() - self._limits.deadline_seconds
        return not self._workers or any(
            (began := worker.began) is None or began > oldest for worker in self._workers
        )

    def run(self, call: Call) -> "Future[Sequence[Array]]":
        return self.work(lambda: self._pipeline.run(call), call.deadline)

    def work(self, function: Callable[[], Any], deadline: float | None = None) -> "Future[Any]":
        """The function's result; Refusal 503 at once if there is no room, 504 once the deadline has passed."""
        self._admit()
        loop = self._started()
        seconds, until = remaining(deadline, self._limits.deadline_seconds)
        future: Future[Any] = loop.create_future()
        job = _Job(function, future, until)
        job.timer = loop.call_later(seconds, self._expire, job)
        self._submitted += 1
        self._jobs.put(job)
        return future

    def close(self) -> None:
        """Let the threads end once they have done what is queued."""
        for _ in self._workers:
            self._jobs.put(None)

    def check(self) -> None:
        """Refusal 503 if every worker hangs."""
        if not self.healthy:
            self.refused += 1
            raise self._busy("every worker of this model hangs", self.queued)

    def _admit(self) -> None:
        waiting = self._submitted - sum(worker.finished for worker in self._workers)
        if waiting >= self._limits.queue + self._limits.concurrency:
            self.refused += 1
            raise self.full(waiting)
        self.check()

    def full(self, waiting: int) -> Refusal:
        return self._busy(f"the queue of this model is full: {self._limits.queue} calls wait", waiting)

    def _busy(self, reason: str, waiting: int) -> Refusal:
        seconds = max(1, math.ceil(waiting * self._service / self._limits.concurrency))
        return Refusal(503, f"{reason}; try again in {seconds} s", (("retry-after", str(seconds)),))

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._workers = [_Worker(self._jobs, self._hand_over) for _ in range(self._limits.concurrency)]
            for worker in self._workers:
                worker.start()
        return self._loop

    def _hand_over(self, job: _Job, outcome: Outcome, seconds: float) -> None:
        """In the worker's thread."""
        assert self._loop is not None  # noqa: S101 - workers start with it
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
            self._loop.call_soon_threadsafe(self._settle, job, outcome, seconds)

    def _settle(self, job: _Job, outcome: Outcome, seconds: float) -> None:
        if job.timer is not None:
            job.timer.cancel()
        if job.began:
            self._service += (seconds - self._service) * (0.1 if self._service else 1.0)
            self.batches[1] += 1
        elif not job.future.done():
            self.expired += 1
        settle(job.future, outcome)

    def _expire(self, job: _Job) -> None:
        """At the deadline the caller hears 504; the worker, if it has begun, goes on."""
        if not job.future.done():
            self.expired += 1
            job.future.set_exception(late())


class BesideThreads:
    """A lane with threads beside it for large requests: their counts, and its own of refused and late calls."""

    def __init__(self, pipeline: Pipeline, limits: LaneLimits) -> None:
        self.batches: dict[int, int] = {}
        self._own_refused = 0
        self._own_expired = 0
        self._threads = ThreadLane(pipeline, limits)
        self.work = self._threads.work

    @property
    def queued(self) -> int:
        return self._threads.queued

    @property
    def running(self) -> int:
        return self._threads.running

    @property
    def healthy(self) -> bool:
        return self._threads.healthy

    @property
    def refused(self) -> int:
        return self._own_refused + self._threads.refused

    @property
    def expired(self) -> int:
        return self._own_expired + self._threads.expired

    def close(self) -> None:
        self._threads.close()


class InlineLane(BesideThreads):
    """At once in the loop's thread: for models whose runs are shorter than a turn to another thread is worth."""

    def __init__(self, pipeline: Pipeline, limits: LaneLimits) -> None:
        super().__init__(pipeline, limits)
        self._run = pipeline.run

    def run(self, call: Call) -> Sequence[Array]:
        if call.deadline is not None and perf_counter() >= call.deadline:
            self._own_expired += 1
            raise late()
        return self._run(call)


def remaining(deadline: float | None, most: float) -> tuple[float, float]:
    """Seconds until a call is late, and that time of perf_counter(): its own deadline, or the lane's."""
    now = perf_counter()
    seconds = most if deadline is None else min(max(deadline - now, 0.0), most)
    return seconds, now + seconds


def settle(future: "Future[Any]", outcome: Outcome) -> None:
    """Tell the caller, unless the deadline has done so or the caller has left."""
    if future.done():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _outcome(function: Callable[[], Any]) -> Outcome:
    try:
        return function()
    except Exception as error:
        return error
    except BaseException as error:
        return RuntimeError(f"{type(error).__name__} in a worker: {error}")


def late() -> Refusal:
    return Refusal(504, "the deadline of this call has passed; ask again with more time")
