"""JSON files with the same bytes for the same content: sorted, finite, no clock."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainkit.errors import TrainError


def write_json(path: Path, document: Any) -> None:
    """TrainError names the place of a number that JSON does not have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False)
    except ValueError:
        raise TrainError(f"{path.name}: {_not_finite(document)}: nothing may be built on it") from None
    path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path, fix: str) -> Any:
    """The parsed file; `fix` says how to make it when it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrainError(f"{path} is missing: {fix}") from None
    except OSError as error:
        raise TrainError(f"{path} cannot be read: {error.strerror}; check its permissions") from None
    except ValueError as error:
        raise TrainError(f"{path} is not JSON ({error}): {fix}") from None


def _not_finite(document: Any, place: str = "") -> str:
    """Where NaN or an infinity is, such as `metrics.accuracy is nan`; empty if nowhere."""
    if isinstance(document, float):
        return "" if math.isfinite(document) else f"{place or 'it'} is {document}"
    if isinstance(document, dict):
        items = [(f"{place}.{name}" if place else str(name), value) for name, value in document.items()]
    else:
        items = (
            [(f"{place}[{n}]", value) for n, value in enumerate(document)]
            if isinstance(document, list)
            else []
        )
    return next(filter(None, (_not_finite(value, where) for where, value in items)), "")


def shortest(values: NDArray[np.float32]) -> list[float]:
    """Flat, row-major; the shortest decimals that are these float32 values again."""
    return [float(str(value)) for value in np.asarray(values, dtype=np.float32).reshape(-1)]


def rounded(value: float, digits: int = 6) -> float:
    return round(float(value), digits)
