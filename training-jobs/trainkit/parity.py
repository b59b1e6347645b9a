"""The exported graph must answer as the model that was evaluated does: on every row, or nothing is exported."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainkit.errors import TrainError


def check_parity(
    answers: dict[str, NDArray[Any]],
    labels: NDArray[np.str_],
    scores: dict[str, NDArray[Any]],
    tolerance: float,
) -> float:
    """The largest absolute difference of `scores`; TrainError above `tolerance` or for another label."""
    other = np.flatnonzero(answers["label"].astype(str) != labels.astype(str))
    if len(other):
        row = other[0]
        raise TrainError(
            f"model.onnx disagrees with its source on {len(other)} of {len(labels)} labels, first in row {row + 1}: "
            f"{answers['label'][row]} instead of {labels[row]}; the conversion is wrong, do not raise the tolerance"
        )
    return max(_difference(name, answers[name], expected, tolerance) for name, expected in scores.items())


def _difference(name: str, found: NDArray[Any], expected: NDArray[Any], tolerance: float) -> float:
    if found.shape != expected.shape:
        raise TrainError(f"model.onnx: {name} has shape {found.shape}, its source gives {expected.shape}")
    largest = float(np.abs(found - expected).max())
    if not largest <= tolerance:
        raise TrainError(
            f"model.onnx disagrees with its source: {name} differs by {largest:.3g}, params.yaml "
            f"export.tolerance is {tolerance:g}; the conversion is wrong, or the tolerance too small for float32"
        )
    return largest
