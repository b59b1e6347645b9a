"""The exported graph must answer as the model that was evaluated does: on every row, or nothing is exported."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainkit.errors import TrainError

WRONG = "the conversion is wrong, do not raise the tolerance"


@dataclass(frozen=True)
class Parity:
    """How far the graph is from the model that was evaluated, over `rows` rows: largest absolute difference."""

    largest_difference: float
    tolerance: float
    rows: int = 0


def compared(
    answers: Mapping[str, NDArray[Any]],
    expected: Mapping[str, NDArray[Any]],
    tolerance: float,
    agreement: float = 1.0,
) -> Parity:
    """The graph's answers against its source's, by output name.

    Numbers differ by `tolerance` at most, TrainError above; labels (text, booleans, integers) are the same in a
    share of `agreement` of the rows at least.
    """
    largest, rows = 0.0, 0
    for name, wanted in expected.items():
        found = answers[name]
        if found.shape != wanted.shape:
            raise TrainError(f"model.onnx: {name} has shape {found.shape}, its source gives {wanted.shape}")
        rows = max(rows, len(wanted))
        if wanted.dtype.kind == "f":
            largest = max(largest, _difference(name, found, wanted, tolerance))
        else:
            _agreement(name, found, wanted, agreement)
    return Parity(largest, tolerance, rows)


def _agreement(name: str, found: NDArray[Any], expected: NDArray[Any], agreement: float) -> None:
    other = np.flatnonzero((found.astype(str) != expected.astype(str)).reshape(len(expected), -1).any(axis=1))
    if len(other) > (1 - agreement) * len(expected):
        row = other[0]
        raise TrainError(
            f"model.onnx disagrees with its source on {len(other)} of {len(expected)} rows of {name}, first in "
            f"row {row + 1}: {found[row]} instead of {expected[row]}; {WRONG}"
        )


def _difference(name: str, found: NDArray[Any], expected: NDArray[Any], tolerance: float) -> float:
    largest = float(np.abs(found.astype(np.float64) - expected).max(initial=0.0))
    if not largest <= tolerance:
        raise TrainError(
            f"model.onnx disagrees with its source: {name} differs by {largest:.3g}, params.yaml "
            f"export.tolerance is {tolerance:g}; the conversion is wrong, or the tolerance too small for float32"
        )
    return largest
