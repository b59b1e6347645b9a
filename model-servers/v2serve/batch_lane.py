"""Adaptive batches: calls that come while a run is in progress share the next one."""

import asyncio
import math
from asyncio import Future
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from threading import Lock
from time import perf_counter
from typing import NamedTuple

from v2serve.batches import Outcome, kind_of, rows_of, run_together
from v2serve.call import Call
from v2serve.lanes import BesideThreads, LaneLimits, Result, late, remaining, settle
from v2serve.pace import Pace
from v2serve.pipeline import Pipeline
from v2serve.protocol import Refusal
from v2serve.tensors import Array
from v2serve.turns import Turns


class _Waiting(NamedTuple):
    """A call that may share a run with others of its kind."""

    call: Call
    future: "Future[Sequence[Array]]"
    rows: int
    kind: Hashable
    deadline: float
    timer: asyncio.TimerHandle | None


class BatchLane(BesideThreads):
    """Calls that come while a run is in progress share the next one; nobody waits for others to come.

    `inline` runs are in the loop's thread: what comes in one of its turns shares a run, except for the first call after
    a quiet turn, which is answered at once, and for calls with more work than 5 ms do. Other runs are in a worker, one
    after the other.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        limits: LaneLimits,
        inline: bool,
        pace: Pace | None = None,
        turns: Turns | None = None,
    ) -> None:
        super().__init__(pipeline, limits, pace, turns)
        self._waiting: OrderedDict[Future[Sequence[Array]], _Waiting] = OrderedDict()
        self._taking = Lock()  # several workers take in turn, and calls leave meanwhile
        self._active = 0  # runs that were asked for and are not settled
        self._most = 1 if inline else limits.concurrency
        self._inline = inline
        self._varied = any(-1 in spec.shape[1:] for spec in pipeline.contract.inputs)
        self._calls = 0  # of this turn of the loop, where runs are inline
        self._quiet = True  # the turn before had no two calls

    @property
    def queued(self) -> int:
        return len(self._waiting) + (self._threads.queued if self._inline else 0)

    def run(self, call: Call) -> Result:
        if self._inline:
            if self._pace.work(call.feeds) > self._pace.most:
                return self._threads.run(call)
            self._calls += 1
            if self._calls == 1:
                asyncio.get_running_loop().call_soon(self._end_turn)
                if self._quiet:
                    return self._run_now(call)
        else:
            self._threads.check()
        if len(self._waiting) >= self._limits.queue + self._limits.max_batch * (self._active < self._most):
            self._own_refused += 1
            raise self._threads.full(-(-len(self._waiting) // self._limits.max_batch))
        future: Future[Sequence[Array]] = asyncio.get_running_loop().create_future()
        self._waiting[future] = self._entry(call, future)
        if not self._inline:
            future.add_done_callback(self._drop)
            if self._active < self._most:
                self._start()
        return future

    def _drop(self, future: "Future[Sequence[Array]]") -> None:
        """Whoever has left or has heard 504 waits no more; inline, the end of the turn sees to it."""
        with self._taking:
            left = self._waiting.pop(future, None)
        if left is not None and left.timer is not None:
            left.timer.cancel()

    def _run_now(self, call: Call) -> Sequence[Array]:
        arrays = self._at_once(call)
        self.batches[1] = self.batches.get(1, 0) + 1
        return arrays

    def _end_turn(self) -> None:
        """Run what has come in this turn; what a batch cannot hold belongs to the next."""
        self._quiet = self._calls <= 1
        self._calls = 0
        if self._waiting:
            outcomes = self._run_batch()
            now = perf_counter()
            for entry, _ in outcomes:
                self._late(entry, now)
            self._settle(outcomes)
        if self._waiting:
            self._calls = len(self._waiting)
            asyncio.get_running_loop().call_soon(self._end_turn)

    def _entry(self, call: Call, future: "Future[Sequence[Array]]") -> _Waiting:
        rows = rows_of(call.feeds) or self._limits.max_batch  # what cannot share a run fills one
        if self._inline:  # rows of more work than the golden request's are as good as more rows
            share = self._pace.work(call.feeds) / self._pace.most if self._pace.most else 1.0
            rows = max(rows, math.ceil(share * self._limits.max_batch))
        kind = kind_of(call.feeds) if self._varied else None
        seconds, deadline = remaining(call.deadline, self._limits.deadline_seconds)
        timer = None if self._inline else future.get_loop().call_later(seconds, self._expire, future)
        return _Waiting(call, future, rows, kind, deadline, timer)

    def _start(self) -> None:
        self._active += 1
        try:
            self._threads.work(self._run_batch).add_done_callback(self._finish)
        except Refusal as refusal:
            self._active -= 1
            while taken := self._taken():
                _tell([(entry, refusal) for entry in taken])

    def _finish(self, run: "Future[list[tuple[_Waiting, Outcome]]]") -> None:
        """The next run starts before the answers of this one are written."""
        self._active -= 1
        if self._waiting:
            self._start()
        if not run.cancelled() and run.exception() is None:
            self._settle(run.result())

    def _run_batch(self) -> list[tuple[_Waiting, Outcome]]:
        """In a worker, or inline: what waits when the run begins, with its outcomes."""
        taken = self._taken()
        calls = [entry.call for entry in taken]
        return list(zip(taken, run_together(self._pipeline, calls, self._limits.max_batch), strict=True))

    def _taken(self) -> list[_Waiting]:
        """As many calls of the first one's kind as a run holds; whoever has left or is late is dropped."""
        with self._taking:
            return self._take()

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        others: list[_Waiting] = []
        room, now = self._limits.max_batch, perf_counter()
        while self._waiting and room > 0:
            _, entry = self._waiting.popitem(last=False)
            if entry.future.done() or self._late(entry, now):
                continue
            if taken and (entry.kind != taken[0].kind or entry.rows > room):
                others.append(entry)
                continue
            taken.append(entry)
            room -= entry.rows
        for entry in reversed(others):
            self._waiting[entry.future] = entry
            self._waiting.move_to_end(entry.future, last=False)
        return taken

    def _late(self, entry: _Waiting, now: float) -> bool:
        """In a worker, the timer of the entry tells the caller."""
        if now < entry.deadline:
            return False
        if self._inline:
            self._expire(entry.future)
        return True

    def _settle(self, outcomes: list[tuple[_Waiting, Outcome]]) -> None:
        if outcomes:
            self.batches[len(outcomes)] = self.batches.get(len(outcomes), 0) + 1
        _tell(outcomes)

    def _expire(self, future: "Future[Sequence[Array]]") -> None:
        if not future.done():
            self._own_expired += 1
            future.set_exception(late())


def _tell(outcomes: list[tuple[_Waiting, Outcome]]) -> None:
    for entry, outcome in outcomes:
        if entry.timer is not None:
            entry.timer.cancel()
        settle(entry.future, outcome)
