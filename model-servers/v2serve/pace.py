"""How much of a model's work fits into a turn of the event loop: measured at warm-up, asked for each call."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from v2serve.batches import rows_of
from v2serve.call import Call
from v2serve.contract import Contract
from v2serve.pipeline import Pipeline
from v2serve.protocol import Refusal
from v2serve.tensors import Array

INLINE_SECONDS = 0.005  # a longer run would hold up the health checks of the same thread
_QUICK_SECONDS = INLINE_SECONDS / 16  # as many as a turn has requests are no matter

_MOST_VALUES = 64 << 10  # a body that is decoded in the loop's thread holds no more
_ROUNDS = 3  # the first one allocates

Feeds = dict[str, Array]


class Pace:
    """`quick` and `most` are the work of calls that take 0.3 and 5 milliseconds.

    Work is the number of a call's values (of texts: of bytes, too). Where a call is wider than the golden request, in
    a size that is not the number of its rows, it counts with the square of that, as attention does.
    """

    __slots__ = ("_sizes_vary", "_texts", "_usual", "most", "quick")

    def __init__(self, contract: Contract, golden: Feeds | None = None) -> None:
        """Without a measurement, every call is quick."""
        self.quick = self.most = math.inf
        inputs = contract.inputs
        self._texts = [spec.name for spec in inputs if spec.datatype == "BYTES"]
        self._sizes_vary = bool(self._texts) or any(
            -1 in spec.shape[1:] or spec.shape[:1] != (-1,) for spec in inputs
        )
        self._usual = math.inf
        if golden is not None:
            self._usual = max(1.0, self.width(golden))

    def work(self, feeds: Feeds) -> float:
        values: float = 0
        for array in feeds.values():
            values += array.size
        if not self._sizes_vary:
            return values
        if values <= self.most:
            values += self._text_bytes(feeds)
        if values <= self._usual:
            return values
        return values * max(1.0, values / (rows_of(feeds) or 1) / self._usual)

    def width(self, feeds: Feeds) -> float:
        """Values of a row; of all, where there are no rows."""
        values = sum(array.size for array in feeds.values()) + self._text_bytes(feeds)
        return values / (rows_of(feeds) or 1)

    def _text_bytes(self, feeds: Feeds) -> int:
        return sum(sum(map(len, feeds[name].ravel().tolist())) for name in self._texts if name in feeds)


class _Point(NamedTuple):
    work: float
    seconds: float


def measured(pipeline: Pipeline, calls: Sequence[Call]) -> Pace:
    """The pace of a model that has answered these golden calls; measured with the one of the widest rows."""
    width = Pace(pipeline.contract).width
    call = max(calls, key=lambda one: width(one.feeds))
    pace = Pace(pipeline.contract, call.feeds)
    grows = _rows_are_free(pipeline.contract) and rows_of(call.feeds) is not None
    points = list(_points(pipeline, pace, call, grows))
    pace.quick, pace.most = (_within(points, seconds, grows) for seconds in (_QUICK_SECONDS, INLINE_SECONDS))
    return pace


def _rows_are_free(contract: Contract) -> bool:
    return all(spec.shape[:1] == (-1,) for spec in contract.inputs)


def _points(pipeline: Pipeline, pace: Pace, call: Call, grows: bool) -> Iterator[_Point]:
    """The call, and then with twice its rows again and again, until that takes too long or no body holds as much."""
    while True:
        work = pace.work(call.feeds)
        try:
            seconds = _fastest(pipeline, call)
        except Refusal:  # not every graph takes other rows than it was exported with
            return
        yield _Point(work, seconds)
        if not grows or seconds > INLINE_SECONDS or work > _MOST_VALUES:
            return
        call = replace(call, feeds={name: np.concatenate([rows] * 2) for name, rows in call.feeds.items()})


def _fastest(pipeline: Pipeline, call: Call) -> float:
    fastest = math.inf
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        pipeline.run(call)
        fastest = min(fastest, time.perf_counter() - begin)
        if fastest > 4 * INLINE_SECONDS:
            break
    return fastest


def _within(points: Sequence[_Point], seconds: float, grows: bool) -> float:
    """The most work that took no longer; in proportion to the golden call's where its rows cannot grow."""
    if not points:
        return 0.0
    if not grows:
        return points[0].work * seconds / points[0].seconds
    short = [point.work for point in points if point.seconds <= seconds]
    if len(short) == len(points) and points[-1].work > _MOST_VALUES:
        return math.inf
    return max(short, default=0.0)
