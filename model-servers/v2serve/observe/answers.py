"""What is answered, against what the model answered on reference rows: classes, and numbers by their bins."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from v2serve.contract import TensorSpec
from v2serve.observe.exposition import Family, Sample, labels
from v2serve.observe.histograms import OTHER, BinCounts, ClassCounts, Window, evenly, stability_indexes
from v2serve.observe.reference import FeatureReference, Place, Reference
from v2serve.tensors import Array

Kept = Sequence[Array | None]  # of one call: the watched outputs, None for one that the caller did not want

_ROWS = 20_000  # of one fold
_VALUES = 400_000  # of one call's output

_PREDICTED = Family("inference_prediction", "counter", "Answers by class")
_PREDICTED_INDEX = Family(
    "inference_prediction_stability_index",
    "gauge",
    "Population stability index of the last 15 minutes' classes",
)
_COUNT = Family("inference_output_values", "counter", "Answers of an output that were looked at")
_NULL = Family("inference_output_null", "counter", "Answers that are not a number")
_BELOW = Family("inference_output_below_range", "counter", "Answers below the least of the reference rows")
_ABOVE = Family("inference_output_above_range", "counter", "Answers above the greatest of the reference rows")
_BIN = Family("inference_output_bin", "counter", "Answers by the bin of the reference rows' answers")
_INDEX = Family(
    "inference_output_stability_index", "gauge", "Population stability index of the last 15 minutes' answers"
)
_WINDOW = Family("inference_output_window_rows", "gauge", "Answers of the last 15 minutes in the index")


class AnswerStatistics:
    """Of one release; `kept` with each request that is looked at, `count` between requests."""

    def __init__(self, reference: Reference, place: Place, own: str, clock: Callable[[], float]) -> None:
        """`own` is the labels' text of the release."""
        told = {feature.name: feature for feature in reference.predictions.outputs}
        self._places = [(place.label, place.label_at)] if place.label is not None else []
        self._places += place.outputs
        self._classes = _Classes(reference, own, clock) if place.label is not None else None
        self._numbers = [_Numbers(told[name], own, clock) for name, _ in place.outputs]

    def kept(self, wanted: Sequence[TensorSpec], outputs: Sequence[Array]) -> Kept:
        return [_found(name, at, wanted, outputs) for name, at in self._places]

    def count(self, calls: Sequence[Kept]) -> int:
        """How many rows were not looked at, of the output of which it were most."""
        watched: list[_Classes | _Numbers] = [*([self._classes] if self._classes else []), *self._numbers]
        dropped = 0
        for counts, column in zip(watched, zip(*calls, strict=True), strict=True):
            parts = [array for array in column if array is not None]
            if parts:
                joined = np.concatenate([_column(part) for part in parts])
                taken = evenly(joined, _ROWS)
                counts.add(taken)
                dropped = max(dropped, len(joined) - len(taken))
        return dropped

    def samples(self) -> Iterator[Sample]:
        if self._classes is not None:
            yield from self._classes.samples()
        for numbers in self._numbers:
            yield from numbers.samples()


class _Classes:
    def __init__(self, reference: Reference, own: str, clock: Callable[[], float]) -> None:
        shares = reference.expected_classes
        self._own = own
        self._own_class = [joined_labels(own, "class", name) for name in (*shares, OTHER)]
        self._counts = ClassCounts(shares)
        self._window = Window(len(self._counts.expected), clock)

    def add(self, answers: Array) -> None:
        self._window.add(self._counts.add(answers))

    def samples(self) -> Iterator[Sample]:
        for own, count in zip(self._own_class, self._counts.counts.tolist(), strict=True):
            yield Sample(_PREDICTED, own, count)
        window = self._window.total()
        if window.any():
            index = stability_indexes(window, self._counts.expected, np.array([0]))
            yield Sample(_PREDICTED_INDEX, self._own, index.item())


class _Numbers:
    def __init__(self, told: FeatureReference, own: str, clock: Callable[[], float]) -> None:
        self._own = joined_labels(own, "output", told.name)
        self._counts = BinCounts((told,))
        self._window = Window(len(self._counts.expected), clock)

    def add(self, answers: Array) -> None:
        self._window.add(self._counts.add(answers[:, None]))

    def samples(self) -> Iterator[Sample]:
        counts, window = self._counts, self._window.total()
        yield Sample(_COUNT, self._own, counts.rows)
        for family, values in ((_NULL, counts.null), (_BELOW, counts.below), (_ABOVE, counts.above)):
            yield Sample(family, self._own, values[0].item())
        for number, count in enumerate(counts.bins.tolist()):
            yield Sample(_BIN, f'bin="{number}",{self._own}', count)
        yield Sample(_WINDOW, self._own, int(window.sum()))
        if window.any():
            index = stability_indexes(window, counts.expected, np.array([0]))
            yield Sample(_INDEX, self._own, index.item())


def _found(name: str, at: int, wanted: Sequence[TensorSpec], outputs: Sequence[Array]) -> Array | None:
    """The output, if the caller wanted it: mostly where the contract has it."""
    if not (at < len(wanted) and wanted[at].name == name):
        at = next((number for number, spec in enumerate(wanted) if spec.name == name), -1)
    if at < 0 or not outputs[at].ndim:
        return None
    found = outputs[at]
    if found.size > _VALUES:
        found = evenly(found, _VALUES * len(found) // found.size)
    return found if found.base is None else found.copy()  # not held longer than the request


def _column(array: Array) -> Array:
    """[rows]: of a row with several values the largest, which is how sure a classifier is of its answer."""
    if array.ndim == 1:
        return array
    flat = array.reshape(len(array), -1)
    return flat[:, 0] if flat.shape[1] == 1 else flat.max(axis=1, initial=-np.inf)


def joined_labels(own: str, name: str, value: str) -> str:
    return ",".join(filter(None, (own, labels(((name, value),)))))
