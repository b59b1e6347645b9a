"""Statistics of what is asked and answered: noted with requests, computed between them."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import randrange

import numpy as np

from v2serve.contract import TensorSpec
from v2serve.observe.answers import AnswerStatistics, Kept, joined_labels
from v2serve.observe.exposition import Family, Sample
from v2serve.observe.histograms import BinCounts, Window, evenly, stability_indexes
from v2serve.observe.reference import Place, Reference
from v2serve.tensors import Array

_CALLS = 8192  # that wait to be folded
_LOOKED_AT = (
    128  # calls of one fold, about; of more, a random sample: 600 a second say as much, and cost less
)
_BITE = 2048  # calls of one fold: a millisecond
_HELD_BYTES = 8 << 20
_ROWS = 20_000  # of one fold
_VALUES = 400_000  # of one fold

_COUNT = Family("inference_input_values", "counter", "Values of a feature that were looked at")
_NULL = Family("inference_input_null", "counter", "Values that are not a number")
_BELOW = Family("inference_input_below_range", "counter", "Values below the least of the training data")
_ABOVE = Family("inference_input_above_range", "counter", "Values above the greatest of the training data")
_BIN = Family("inference_input_bin", "counter", "Values by the bin of the training data")
_SUM = Family("inference_input_value_sum", "gauge", "Sum of the finite values; falls where they are negative")
_SQUARES = Family("inference_input_value_squares", "counter", "Sum of the squares of the finite values")
_FINITE = Family("inference_input_finite", "counter", "Values in the two sums")
_INDEX = Family(
    "inference_input_stability_index", "gauge", "Population stability index of the last 15 minutes"
)
_WINDOW = Family("inference_input_window_rows", "gauge", "Rows of the last 15 minutes in the index")
_DROPPED = Family("inference_statistics_dropped", "counter", "Rows that the statistics did not look at")


class DriftStatistics:
    """Of one release; `note` with each request, `fold` by a timer, both in the thread of the event loop."""

    def __init__(
        self, reference: Reference, place: Place, own: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`own` is the labels' text of the release, as Release.labels() makes it."""
        self._own = own
        self._place = place
        self._first = place.inputs[0] if place.inputs else None
        self._single = len(place.inputs) == 1
        self._pending: list[tuple[Sequence[Array], Kept]] = []
        self._room = _HELD_BYTES
        self._calls = 0  # since the last fold
        self._step = 1  # of how many one is looked at, on average
        self._next = 0  # of the calls, the next to be looked at
        self._dropped = 0
        self._inputs = _Inputs(reference, own, clock) if place.inputs else None
        self._answers = AnswerStatistics(reference, place, own, clock)

    def note(
        self, feeds: Mapping[str, Array], wanted: Sequence[TensorSpec], outputs: Sequence[Array]
    ) -> None:
        """A call's feeds, what it wanted, and that; arrays that share memory with a request are copied."""
        self._calls += 1
        if self._calls < self._next or len(self._pending) >= _CALLS or self._room < 0:
            self._dropped += _rows(outputs) if self._first is None else feeds[self._first].shape[0]
            return
        if self._step > 1:  # at random, for callers may come in turn
            self._next = self._calls + randrange(1, 2 * self._step)  # noqa: S311 -- a sample, no secret
        arrays = self._asked(feeds)
        if arrays is None:
            return
        answers = self._answers.kept(wanted, outputs)
        self._room -= sum(array.nbytes for array in (*arrays, *answers) if array is not None)
        self._pending.append((arrays, answers))

    def _asked(self, feeds: Mapping[str, Array]) -> Sequence[Array] | None:
        """The inputs that are watched, if any; None where their columns differ in length."""
        if self._first is None:
            return ()
        array = feeds[self._first]
        if self._single and array.size <= _VALUES:
            return (array if array.base is None else array.copy(),)
        return self._kept(feeds)

    def _kept(self, feeds: Mapping[str, Array]) -> list[Array] | None:
        """The way of several inputs and of large ones: even samples."""
        arrays = [feeds[name] for name in self._place.inputs]
        rows = arrays[0].shape[0]
        if any(array.shape[0] != rows for array in arrays):
            self._dropped += rows
            return None
        most = rows * _VALUES // max(arrays[0].size * len(arrays), 1)
        kept = [evenly(array, most).copy() for array in arrays]
        self._dropped += rows - kept[0].shape[0]
        return kept

    def fold(self) -> bool:
        """Count the next 2,048 calls that were noted, 20,000 rows or 400,000 values of them; whether more are left."""
        pending, self._pending = self._pending[:_BITE], self._pending[_BITE:]
        if not self._pending:
            self._room = _HELD_BYTES
            self._step = max(1, self._calls // _LOOKED_AT)
            self._calls = self._next = 0
        if pending:
            self._count(pending)
        return bool(self._pending)

    def _count(self, pending: Sequence[tuple[Sequence[Array], Kept]]) -> None:
        unseen = self._answers.count([answers for _, answers in pending])
        if self._inputs is None:
            self._dropped += unseen
            return
        matrix = self._joined([arrays for arrays, _ in pending])
        taken = evenly(matrix, min(_ROWS, _VALUES // matrix.shape[1]))
        self._dropped += len(matrix) - len(taken)
        self._inputs.add(taken)

    def _joined(self, calls: Iterable[Sequence[Array]]) -> Array:
        columns = [np.concatenate(parts) for parts in zip(*calls, strict=True)]
        return self._place.matrix(columns)

    def samples(self) -> Iterator[Sample]:
        if self._inputs is not None:
            yield from self._inputs.samples()
        yield from self._answers.samples()
        yield Sample(_DROPPED, self._own, self._dropped)


class _Inputs:
    """The features side by side."""

    def __init__(self, reference: Reference, own: str, clock: Callable[[], float]) -> None:
        self._own = [joined_labels(own, "feature", feature.name) for feature in reference.features]
        self._counts = BinCounts(reference.features)
        self._window = Window(len(self._counts.expected), clock)

    def add(self, matrix: Array) -> None:
        self._window.add(self._counts.add(matrix))

    def samples(self) -> Iterator[Sample]:
        counts, window = self._counts, self._window.total()
        starts = counts.starts[:-1]
        indexes = stability_indexes(window, counts.expected, starts).tolist()
        rows = np.add.reduceat(window, starts).tolist()
        bins = counts.bins.tolist()
        for feature, own in enumerate(self._own):
            yield from self._moments(feature, own)
            for number, count in enumerate(bins[counts.starts[feature] : counts.starts[feature + 1]]):
                yield Sample(_BIN, f'bin="{number}",{own}', count)
            yield Sample(_WINDOW, own, rows[feature])
            if rows[feature]:
                yield Sample(_INDEX, own, indexes[feature])

    def _moments(self, index: int, own: str) -> Iterator[Sample]:
        counts = self._counts
        yield Sample(_COUNT, own, counts.rows)
        for family, values in (
            (_NULL, counts.null),
            (_BELOW, counts.below),
            (_ABOVE, counts.above),
            (_FINITE, counts.finite),
            (_SUM, counts.sum),
            (_SQUARES, counts.squares),
        ):
            yield Sample(family, own, values[index].item())


def _rows(outputs: Sequence[Array]) -> int:
    return len(outputs[0]) if outputs and outputs[0].ndim else 0
