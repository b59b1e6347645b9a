"""sMAPE, MASE and coverage of each series, and the interval that so many series allow."""

from collections.abc import Sequence

import numpy as np
from model import LEVELS, MIDDLE
from numpy.typing import NDArray
from series import DAY
from windows import Array

from trainkit.documents import rounded
from trainkit.scores import Bootstrap

Each = dict[str, NDArray[np.float64]]  # a value a series, by metric


def smape(followed: Array, forecast: Array) -> Array:
    """[n] in per cent, 0 to 200, as the M4 competition defines it."""
    size = np.maximum(np.abs(followed) + np.abs(forecast), 1e-12)
    return (200 * np.abs(followed - forecast) / size).mean(axis=1)


def daily_step(train: Array) -> float:
    """The mean absolute difference to the same hour of the day before: the unit of MASE."""
    return float(np.abs(train[DAY:] - train[:-DAY]).mean())


def each_series(followed: Array, quantiles: Array, units: Sequence[float]) -> Each:
    """`followed` [n, HORIZON], `quantiles` [n, quantiles, HORIZON], `units` of MASE [n]."""
    middle = quantiles[:, MIDDLE]
    found = {
        "smape": smape(followed, middle),
        "mase": np.abs(followed - middle).mean(axis=1) / np.maximum(units, 1e-12),
    }
    for level, (low, high) in LEVELS.items():
        inside = (followed >= quantiles[:, low]) & (followed <= quantiles[:, high])
        found[f"coverage_{level}"] = inside.mean(axis=1)
    return found


def off_level(found: Each) -> dict[str, float]:
    """How far the share of hours inside each interval is from what the interval says, 0 to 1."""
    return {
        f"coverage_{level}_off": rounded(abs(found[f"coverage_{level}"].mean() - level / 100))
        for level in LEVELS
    }


def gain(better: Each, base: Each, bootstrap: Bootstrap) -> dict[str, float]:
    """By which share the sMAPE is below that of `base`; the interval resamples the same series for both."""
    one, other = better["smape"], base["smape"]
    return bootstrap.scored("smape_gain", lambda rows: float(1 - one[rows].mean() / other[rows].mean()))
