"""Statistics of what is asked and answered, against the training data: noted with requests, computed between them.

Population stability index of a feature: the sum over its bins of (a - e) ln(a / e), where e is the bin's share of
the training rows and a that of the last 15 minutes (Siddiqi, Credit Risk Scorecards, 2006, who calls below 0.1
stable and above 0.25 shifted); shares below 0.0001 count as 0.0001. Without any drift its mean over n rows in B bins
is about (B - 1) / n (Yurdakul, Statistical Properties of PSI, 2018): read it where the window has 1,000 rows.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import randrange
from typing import Any

import numpy as np
import numpy.typing as npt

from v2serve.contract import TensorSpec
from v2serve.observe.exposition import Family, Sample, labels
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
_SLICES = 15  # of the window
_SLICE_SECONDS = 60.0
_SMALLEST_SHARE = 1e-4
_OTHER = "other"

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
_PREDICTED = Family("inference_prediction", "counter", "Answers by class")
_PREDICTED_INDEX = Family(
    "inference_prediction_stability_index",
    "gauge",
    "Population stability index of the last 15 minutes' classes",
)
_DROPPED = Family("inference_statistics_dropped", "counter", "Rows that the statistics did not look at")

_Counts = npt.NDArray[np.int64]
_Shares = npt.NDArray[np.float64]


def stability_indexes(counts: _Counts, expected: _Shares, starts: npt.NDArray[np.intp]) -> _Shares:
    """The formula above for each part that begins at `starts`; a part without a row is no number."""
    totals = np.add.reduceat(counts, starts)
    rows = np.repeat(np.maximum(totals, 1), np.diff([*starts, len(counts)]))
    actual = np.maximum(counts / rows, _SMALLEST_SHARE)
    floored = np.maximum(expected, _SMALLEST_SHARE)
    indexes: _Shares = np.add.reduceat((actual - floored) * np.log(actual / floored), starts)
    return np.where(totals > 0, indexes, np.nan)


class Window:
    """Counts of the last 15 minutes: a ring of one row a minute."""

    def __init__(self, width: int, clock: Callable[[], float]) -> None:
        self._ring: _Counts = np.zeros((_SLICES, width), np.int64)
        self._clock = clock
        self._minute = self._now()

    def add(self, counts: _Counts) -> None:
        self._turn()
        self._ring[self._minute % _SLICES] += counts

    def total(self) -> _Counts:
        self._turn()
        total: _Counts = self._ring.sum(axis=0)
        return total

    def _turn(self) -> None:
        now = self._now()
        for minute in range(max(self._minute + 1, now - _SLICES + 1), now + 1):
            self._ring[minute % _SLICES] = 0
        self._minute = max(now, self._minute)

    def _now(self) -> int:
        return int(self._clock() // _SLICE_SECONDS)


class _Features:
    """The counts of every feature side by side: bins of feature j are starts[j]:starts[j + 1]."""

    def __init__(self, reference: Reference) -> None:
        features = reference.features
        self.starts = np.cumsum([0, *(len(feature.shares) for feature in features)])
        self.expected = np.array([share for feature in features for share in feature.shares])
        self._edges = [np.array(feature.quantiles) for feature in features]
        self._range = np.array([(feature.min, feature.max) for feature in features]).T
        self._typed: dict[np.dtype[Any], tuple[list[Array], Array]] = {}
        self.rows = 0
        self.null, self.below, self.above, self.finite = np.zeros((4, len(features)), np.int64)
        self.sum, self.squares = np.zeros((2, len(features)))
        self.bins: _Counts = np.zeros(len(self.expected), np.int64)

    def add(self, matrix: Array) -> _Counts:
        """Count [rows, features]; the bins of these rows."""
        edges, (least, greatest) = self._limits(matrix.dtype)
        finite = np.isfinite(matrix)
        values = np.where(finite, matrix, 0).astype(np.float64)
        self.rows += len(matrix)
        self.null += np.isnan(matrix).sum(axis=0)
        self.below += (matrix < least).sum(axis=0)
        self.above += (matrix > greatest).sum(axis=0)
        self.finite += finite.sum(axis=0)
        self.sum += values.sum(axis=0)
        self.squares += np.einsum("ij,ij->j", values, values)
        bins = np.concatenate([_binned(column, each) for column, each in zip(matrix.T, edges, strict=True)])
        self.bins += bins
        return bins

    def _limits(self, dtype: np.dtype[Any]) -> tuple[list[Array], Array]:
        """In the type of the values: 0.2 as a float32 lies above 0.2 as a double, yet is in the bin that ends there."""
        if dtype not in self._typed:
            self._typed[dtype] = [edge.astype(dtype) for edge in self._edges], self._range.astype(dtype)
        return self._typed[dtype]


def _binned(column: Array, edges: Array) -> _Counts:
    if np.isnan(column).any():  # a NaN would be sorted behind the last edge
        column = column[~np.isnan(column)]
    return np.bincount(np.searchsorted(edges, column, side="left"), minlength=len(edges) + 1)


class _Classes:
    """Answers by class, those that the training data did not have together."""

    def __init__(self, shares: Mapping[str, float]) -> None:
        self.names = [*shares, _OTHER]
        self.expected = np.array([*shares.values(), 0.0])
        self.counts: _Counts = np.zeros(len(self.names), np.int64)
        self._index = {name: index for index, name in enumerate(shares)}

    def add(self, answers: Array) -> _Counts:
        counts: _Counts = np.zeros(len(self.names), np.int64)
        for answer, times in Counter(answers.tolist()).items():
            counts[self._of(answer)] += times
        self.counts += counts
        return counts

    def _of(self, answer: str | bytes | int) -> int:
        """A class by its name, or by its number where names are no numbers."""
        other = len(self.names) - 1
        name = answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)
        index = self._index.get(name)
        if index is None and isinstance(answer, int) and 0 <= answer < other:
            return answer
        return other if index is None else index


class DriftStatistics:
    """Of one release; `note` with each request, `fold` by a timer, both in the thread of the event loop."""

    def __init__(
        self, reference: Reference, place: Place, own: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`own` is the labels' text of the release, as Release.labels() makes it."""
        self._own = own
        self._own_feature = [_joined_labels(own, "feature", feature.name) for feature in reference.features]
        self._own_class = [_joined_labels(own, "class", name) for name in (*reference.classes, _OTHER)]
        self._place = place
        self._first = place.inputs[0]
        self._single = len(place.inputs) == 1
        self._label, self._label_at = place.label, place.label_at
        self._pending: list[tuple[Sequence[Array], Array | None]] = []
        self._room = _HELD_BYTES
        self._calls = 0  # since the last fold
        self._step = 1  # of how many one is looked at, on average
        self._next = 0  # of the calls, the next to be looked at
        self._dropped = 0
        self._features = _Features(reference)
        self._classes = _Classes(reference.classes)
        self._window = Window(len(self._features.expected), clock)
        self._predicted = Window(len(self._classes.expected), clock)

    def note(
        self, feeds: Mapping[str, Array], wanted: Sequence[TensorSpec], outputs: Sequence[Array]
    ) -> None:
        """A call's feeds, what it wanted, and that; arrays that share memory with a request are copied."""
        array = feeds[self._first]
        self._calls += 1
        if self._calls < self._next or len(self._pending) >= _CALLS or self._room < 0:
            self._dropped += array.shape[0]
            return
        if self._step > 1:  # at random, for callers may come in turn
            self._next = self._calls + randrange(1, 2 * self._step)  # noqa: S311 -- a sample, no secret
        if self._single and array.size <= _VALUES:
            arrays: Sequence[Array] = (array if array.base is None else array.copy(),)
            self._room -= array.nbytes
        elif not (arrays := self._kept(feeds)):
            return
        answer = self._answer(wanted, outputs)
        if answer is not None:
            self._room -= answer.nbytes
        self._pending.append((arrays, answer))

    def _answer(self, wanted: Sequence[TensorSpec], outputs: Sequence[Array]) -> Array | None:
        """The output with the classes, if the caller wanted it: mostly where the contract has it."""
        label, at = self._label, self._label_at
        if label is None or (at < len(wanted) and wanted[at].name == label):
            return None if label is None else outputs[at]
        for spec, output in zip(wanted, outputs, strict=True):
            if spec.name == label:
                return output
        return None

    def _kept(self, feeds: Mapping[str, Array]) -> list[Array]:
        """The way of several inputs and of large ones: even samples; nothing where columns differ in length."""
        arrays = [feeds[name] for name in self._place.inputs]
        rows = arrays[0].shape[0]
        if any(array.shape[0] != rows for array in arrays):
            self._dropped += rows
            return []
        most = rows * _VALUES // max(arrays[0].size * len(arrays), 1)
        kept = [_evenly(array, most).copy() for array in arrays]
        self._dropped += rows - kept[0].shape[0]
        self._room -= sum(array.nbytes for array in kept)
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

    def _count(self, pending: Sequence[tuple[Sequence[Array], Array | None]]) -> None:
        matrix = self._joined([arrays for arrays, _ in pending])
        taken = _evenly(matrix, min(_ROWS, _VALUES // matrix.shape[1]))
        self._dropped += len(matrix) - len(taken)
        self._window.add(self._features.add(taken))
        answers = [answer for _, answer in pending if answer is not None]
        if answers:
            self._predicted.add(self._classes.add(_evenly(np.concatenate(answers).reshape(-1), _ROWS)))

    def _joined(self, calls: Iterable[Sequence[Array]]) -> Array:
        columns = [np.concatenate(parts) for parts in zip(*calls, strict=True)]
        return self._place.matrix(columns)

    def samples(self) -> Iterator[Sample]:
        features, window = self._features, self._window.total()
        starts = features.starts[:-1]
        indexes = stability_indexes(window, features.expected, starts).tolist()
        rows = np.add.reduceat(window, starts).tolist()
        bins = features.bins.tolist()
        for feature, own in enumerate(self._own_feature):
            yield from self._moments(feature, own)
            for number, count in enumerate(bins[features.starts[feature] : features.starts[feature + 1]]):
                yield Sample(_BIN, f'bin="{number}",{own}', count)
            yield Sample(_WINDOW, own, rows[feature])
            if rows[feature]:
                yield Sample(_INDEX, own, indexes[feature])
        yield from self._class_samples()
        yield Sample(_DROPPED, self._own, self._dropped)

    def _moments(self, index: int, own: str) -> Iterator[Sample]:
        features = self._features
        yield Sample(_COUNT, own, features.rows)
        for family, values in (
            (_NULL, features.null),
            (_BELOW, features.below),
            (_ABOVE, features.above),
            (_FINITE, features.finite),
            (_SUM, features.sum),
            (_SQUARES, features.squares),
        ):
            yield Sample(family, own, values[index].item())

    def _class_samples(self) -> Iterator[Sample]:
        classes = self._classes
        if self._place.label is None:
            return
        for own, count in zip(self._own_class, classes.counts.tolist(), strict=True):
            yield Sample(_PREDICTED, own, count)
        window = self._predicted.total()
        if window.any():
            index = stability_indexes(window, classes.expected, np.array([0]))
            yield Sample(_PREDICTED_INDEX, self._own, index.item())


def _evenly(array: Array, most: int) -> Array:
    """At most so many rows, at equal distances: every caller is heard."""
    return array[:: max(-(-array.shape[0] // max(most, 1)), 1)]


def _joined_labels(own: str, name: str, value: str) -> str:
    return ",".join(filter(None, (own, labels(((name, value),)))))
