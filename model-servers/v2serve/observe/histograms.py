"""Counts of values by the bins of the training data, and of answers by class; the index of how far they are from it.

Population stability index of a feature: the sum over its bins of (a - e) ln(a / e), where e is the bin's share of
the training rows and a that of the last 15 minutes (Siddiqi, Credit Risk Scorecards, 2006, who calls below 0.1
stable and above 0.25 shifted); shares below 0.0001 count as 0.0001. Without any drift its mean over n rows in B bins
is about (B - 1) / n (Yurdakul, Statistical Properties of PSI, 2018): read it where the window has 1,000 rows.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from v2serve.observe.reference import FeatureReference
from v2serve.tensors import Array

OTHER = "other"

_SLICES = 15  # of the window
_SLICE_SECONDS = 60.0
_SMALLEST_SHARE = 1e-4

Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]


def stability_indexes(counts: Counts, expected: Shares, starts: npt.NDArray[np.intp]) -> Shares:
    """The formula above for each part that begins at `starts`; a part without a row is no number."""
    totals = np.add.reduceat(counts, starts)
    rows = np.repeat(np.maximum(totals, 1), np.diff([*starts, len(counts)]))
    actual = np.maximum(counts / rows, _SMALLEST_SHARE)
    floored = np.maximum(expected, _SMALLEST_SHARE)
    indexes: Shares = np.add.reduceat((actual - floored) * np.log(actual / floored), starts)
    return np.where(totals > 0, indexes, np.nan)


class Window:
    """Counts of the last 15 minutes: a ring of one row a minute."""

    def __init__(self, width: int, clock: Callable[[], float]) -> None:
        self._ring: Counts = np.zeros((_SLICES, width), np.int64)
        self._clock = clock
        self._minute = self._now()

    def add(self, counts: Counts) -> None:
        self._turn()
        self._ring[self._minute % _SLICES] += counts

    def total(self) -> Counts:
        self._turn()
        total: Counts = self._ring.sum(axis=0)
        return total

    def _turn(self) -> None:
        now = self._now()
        for minute in range(max(self._minute + 1, now - _SLICES + 1), now + 1):
            self._ring[minute % _SLICES] = 0
        self._minute = max(now, self._minute)

    def _now(self) -> int:
        return int(self._clock() // _SLICE_SECONDS)


class BinCounts:
    """The counts of every feature side by side: bins of feature j are starts[j]:starts[j + 1]."""

    def __init__(self, features: Sequence[FeatureReference]) -> None:
        self.starts = np.cumsum([0, *(len(feature.shares) for feature in features)])
        self.expected = np.array([share for feature in features for share in feature.shares])
        self._edges = [np.array(feature.quantiles) for feature in features]
        self._range = np.array([(feature.min, feature.max) for feature in features]).T
        self._typed: dict[np.dtype[Any], tuple[list[Array], Array]] = {}
        self.rows = 0
        self.null, self.below, self.above, self.finite = np.zeros((4, len(features)), np.int64)
        self.sum, self.squares = np.zeros((2, len(features)))
        self.bins: Counts = np.zeros(len(self.expected), np.int64)

    def add(self, matrix: Array) -> Counts:
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


def _binned(column: Array, edges: Array) -> Counts:
    if np.isnan(column).any():  # a NaN would be sorted behind the last edge
        column = column[~np.isnan(column)]
    return np.bincount(np.searchsorted(edges, column, side="left"), minlength=len(edges) + 1)


class ClassCounts:
    """Answers by class, those that the training data did not have together."""

    def __init__(self, shares: Mapping[str, float]) -> None:
        self.names = [*shares, OTHER]
        self.expected = np.array([*shares.values(), 0.0])
        self.counts: Counts = np.zeros(len(self.names), np.int64)
        self._index = {name: index for index, name in enumerate(shares)}

    def add(self, answers: Array) -> Counts:
        counts: Counts = np.zeros(len(self.names), np.int64)
        for answer, times in Counter(answers.tolist()).items():
            counts[self._of(answer)] += times
        self.counts += counts
        return counts

    def _of(self, answer: str | bytes | int) -> int:
        """A class by its name, or by its number where names are no numbers; booleans by the names of JSON."""
        other = len(self.names) - 1
        name = answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)
        name = name.lower() if isinstance(answer, bool) else name
        index = self._index.get(name)
        if index is None and isinstance(answer, int) and 0 <= answer < other:
            return answer
        return other if index is None else index


def evenly(array: Array, most: int) -> Array:
    """At most so many rows, at equal distances: every caller is heard."""
    return array[:: max(-(-array.shape[0] // max(most, 1)), 1)]
