"""Where and when a model runs: at once in the thread of the event loop, in threads of its own, or in batches.

Lanes are asked in the thread of the event loop only; their counters are plain ints that a scrape reads.
"""

import asyncio
import contextlib
import math
from asyncio import Future
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from threading import Lock, Thread
from time import perf_counter
from typing import Any, NamedTuple, Protocol

from v2serve.batches import Outcome
from v2serve.call import Call
from v2serve.code import reason
from v2serve.pace import INLINE_SECONDS, Pace
from v2serve.pipeline import Pipeline, late
from v2serve.protocol import Refusal
from v2serve.tensors import Array
from v2serve.turns import Turns

__all__ = [
    "INLINE_BYTES",
    "BesideThreads",
    "InlineLane",
    "Lane",
    "LaneLimits",
    "Result",
    "ThreadLane",
    "late",
    "remaining",
    "settle",
]

INLINE_BYTES = 64 << 10  # and so would what comes with a larger body
_TURN_SECONDS = 2 * INLINE_SECONDS  # of calls that are not quick, in one turn of the loop
_LOOK_SECONDS = 0.002  # while calls wait for a worker, answers wait as long to be told together

Result = Sequence[Array] | Future[Sequence[Array]]


class LaneLimits(NamedTuple):
    """`concurrency` runs at once, `queue` calls waiting, `max_batch` rows a run, seconds until an answer is late."""

    concurrency: int = 1
    queue: int = 128
    max_batch: int = 1
    deadline_seconds: float = 30.0


class Runs(Protocol):
    def run(self, call: Call) -> Sequence[Array]: ...


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

    def close(self) -> None: ...


class _Job:
    """One thing to do for one future; `began` is written by the worker, all else by the loop's thread."""

    __slots__ = ("began", "deadline", "function", "future", "timer")

    def __init__(self, function: Callable[[], Any], future: "Future[Any]", deadline: float) -> None:
        self.function = function
        self.future = future
        self.deadline = deadline
        self.began = 0.0
        self.timer: asyncio.TimerHandle | None = None


class _Jobs:
    """What waits, in order; a job whose caller has left or has heard 504 is gone at once, with all that it holds."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[_Job, None] = OrderedDict()
        self._lock = Lock()  # the loop's thread and the workers take from it
        self._tokens: SimpleQueue[bool] = SimpleQueue()  # True for each job that was ever put, False to end

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, job: _Job) -> None:
        with self._lock:
            self._waiting[job] = None
        self._tokens.put(True)

    def take(self) -> _Job | None:
        """The next job, waited for; None at the end."""
        while self._tokens.get():
            with self._lock:
                if self._waiting:
                    return self._waiting.popitem(last=False)[0]
        return None

    def end(self) -> None:
        self._tokens.put(False)

    def drop(self, job: _Job) -> None:
        """If it still waits."""
        with self._lock:
            self._waiting.pop(job, None)


class _Worker(Thread):
    """Takes jobs until there is an end; a daemon, for a model that hangs must not keep the process."""

    def __init__(self, jobs: _Jobs, done: Callable[[_Job, Outcome, float], None], turns: Turns) -> None:
        super().__init__(name="inference", daemon=True)
        self._jobs = jobs
        self._done = done
        self._turns = turns
        self.began: float | None = None

    def run(self) -> None:
        while (job := self._jobs.take()) is not None:
            self.began = begin = perf_counter()
            if job.future.done() or begin >= job.deadline:
                outcome: Outcome = late()
            else:
                job.began = begin
                with self._turns.first():
                    outcome = _outcome(job.function)
            self.began = None
            self._done(job, outcome, perf_counter() - begin)
            del job, outcome  # a waiting worker holds no arrays


class ThreadLane:
    """`concurrency` threads and a bounded queue: a full one is 503, a late call 504, whoever has left is skipped."""

    def __init__(
        self, pipeline: Runs, limits: LaneLimits, turns: Turns | None = None, what: str = "this model"
    ) -> None:
        self.batches = {1: 0}
        self.refused = 0
        self.expired = 0
        self._pipeline = pipeline
        self._limits = limits
        self._turns = turns or Turns()
        self._what = what  # has the queue
        self._jobs = _Jobs()
        self._workers: list[_Worker] = []
        self._service = 0.0  # seconds of one job, moving average
        self._done: deque[tuple[_Job, Outcome, float]] = deque()  # by workers; nobody has been told yet
        self._looks = False  # the loop's thread will look into it without being woken
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def queued(self) -> int:
        return len(self._jobs)

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
        future.add_done_callback(lambda _: self._leave(job))
        self._jobs.put(job)
        return future

    def close(self) -> None:
        """Let the threads end once they have done what is queued."""
        for _ in self._workers:
            self._jobs.end()

    def check(self) -> None:
        """Refusal 503 if every worker hangs."""
        if not self.healthy:
            self.refused += 1
            raise self._busy("every worker of this model hangs", self.queued)

    def _admit(self) -> None:
        waiting = self.queued + self.running
        if waiting >= self._limits.queue + self._limits.concurrency:
            self.refused += 1
            raise self.full(waiting)
        self.check()

    def full(self, waiting: int) -> Refusal:
        return self._busy(f"the queue of {self._what} is full: {self._limits.queue} calls wait", waiting)

    def _busy(self, reason: str, waiting: int) -> Refusal:
        seconds = max(1, math.ceil(waiting * self._service / self._limits.concurrency))
        return Refusal(503, f"{reason}; try again in {seconds} s", (("retry-after", str(seconds)),))

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            count, told = self._limits.concurrency, (self._jobs, self._hand_over, self._turns)
            self._workers = [_Worker(*told) for _ in range(count)]
            for worker in self._workers:
                worker.start()
        return self._loop

    def _hand_over(self, job: _Job, outcome: Outcome, seconds: float) -> None:
        """In the worker's thread. To be woken for each answer costs the loop's thread more than many answers do."""
        assert self._loop is not None  # noqa: S101 - workers start with it
        self._done.append((job, outcome, seconds))
        if self._looks:
            return
        self._looks = True
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
            self._loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        """Tell what is done; again soon, as long as calls wait for a worker."""
        self._tell_done()
        if self.queued and self._loop is not None:
            self._loop.call_later(_LOOK_SECONDS, self._look)
            return
        self._looks = False
        self._tell_done()  # what came before a worker could see that it has to wake

    def _tell_done(self) -> None:
        while self._done:
            self._settle(*self._done.popleft())

    def _leave(self, job: _Job) -> None:
        """Its caller has been told, or has left; a timer that goes on would keep what the job holds."""
        self._jobs.drop(job)
        if job.timer is not None:
            job.timer.cancel()
            job.timer = None

    def _settle(self, job: _Job, outcome: Outcome, seconds: float) -> None:
        if job.began:
            self._service += (seconds - self._service) * (0.1 if self._service else 1.0)
            self.batches[1] += 1
        if not job.future.done() and _is_late(outcome):
            self.expired += 1
        settle(job.future, outcome)

    def _expire(self, job: _Job) -> None:
        """At the deadline the caller hears 504; the worker, if it has begun, goes on."""
        if not job.future.done():
            self.expired += 1
            job.future.set_exception(late())


class BesideThreads:
    """A lane with threads beside it for large requests: their counts, and its own of refused and late calls."""

    def __init__(
        self, pipeline: Pipeline, limits: LaneLimits, pace: Pace | None = None, turns: Turns | None = None
    ) -> None:
        self.batches: dict[int, int] = {}
        self._pace = pace or Pace(pipeline.contract)
        self._pipeline = pipeline
        self._limits = limits
        self._own_refused = 0
        self._own_expired = 0
        self._threads = ThreadLane(pipeline, limits, turns)
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

    def _at_once(self, call: Call) -> Sequence[Array]:
        """In the loop's thread; Refusal 504 for a call that is late before its run, or after it."""
        begin = perf_counter()
        until = begin + self._limits.deadline_seconds
        if call.deadline is not None:
            until = min(until, call.deadline)
        if begin < until:
            arrays = self._pipeline.run(call)
            if perf_counter() < until:
                return arrays
        self._own_expired += 1
        raise late()


class InlineLane(BesideThreads):
    """At once in the loop's thread: for models whose runs are shorter than a turn to another thread is worth.

    A call with more work than the model does in 5 ms goes to the threads, and so do those that come in one turn of
    the loop, once that has spent 10 ms on calls that are not quick.
    """

    def __init__(self, pipeline: Pipeline, limits: LaneLimits, pace: Pace | None = None) -> None:
        super().__init__(pipeline, limits, pace)
        self._quick = self._pace.quick
        self._spent = 0.0  # seconds of this turn of the loop

    def run(self, call: Call) -> Result:
        work = self._pace.work(call.feeds)
        if work <= self._quick:
            return self._at_once(call)
        if work > self._pace.most or self._spent >= _TURN_SECONDS:
            return self._threads.run(call)
        return self._timed(call)

    def _timed(self, call: Call) -> Sequence[Array]:
        if not self._spent:
            asyncio.get_running_loop().call_soon(self._end_turn)
        begin = perf_counter()
        try:
            return self._at_once(call)
        finally:
            self._spent += perf_counter() - begin

    def _end_turn(self) -> None:
        self._spent = 0.0


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
        return RuntimeError(f"{type(error).__name__} in a worker: {reason(error)}")


def _is_late(outcome: Outcome) -> bool:
    return isinstance(outcome, Refusal) and outcome.status == 504
