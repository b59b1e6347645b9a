"""The forecaster in numpy: what is trained, what is evaluated, and what the graph is compared with."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from series import HORIZON, WEEK
from windows import Array

QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)
MIDDLE = 2
LEVELS = {80: (1, 3), 95: (0, 4)}  # per cent: the places of the bounds among QUANTILES
Weights = NDArray[np.float32]


@dataclass(frozen=True)
class Forecaster:
    """A linear map [LENGTH, HORIZON] of the scaled history, plus layers that say where each quantile lies around it.

    `layers` are (weights [in, out], bias [out]) with ReLU between them; the last gives quantile after quantile,
    HORIZON values each. `widening` are the factors, in the order of LEVELS, that held-out windows asked for.
    """

    linear: Weights
    layers: tuple[tuple[Weights, Weights], ...]
    widening: tuple[float, ...] = (1.0,) * len(LEVELS)

    def quantiles(self, history: Array) -> Array:
        """[n, quantiles, HORIZON], rising, in the units of `history` [n, LENGTH]."""
        level, scale = level_and_scale(history)
        scaled = ((history - level) / scale).astype(np.float32)
        found = self._spread(scaled) + (scaled @ self.linear)[:, None, :]
        return self._widened(found).astype(np.float64) * scale[:, :, None] + level[:, :, None]

    def _spread(self, scaled: Weights) -> Weights:
        for weights, bias in self.layers[:-1]:
            scaled = np.maximum(scaled @ weights + bias, 0)
        weights, bias = self.layers[-1]
        return (scaled @ weights + bias).reshape(len(scaled), len(QUANTILES), HORIZON)

    def _widened(self, found: Weights) -> Weights:
        middle, wide = found[:, MIDDLE], found.copy()
        for (low, high), factor in zip(LEVELS.values(), self.widening, strict=True):
            wide[:, low] = middle - np.float32(factor) * np.maximum(middle - found[:, low], 0)
            wide[:, high] = middle + np.float32(factor) * np.maximum(found[:, high] - middle, 0)
        wide[:, 0], wide[:, 4] = np.minimum(wide[:, 0], wide[:, 1]), np.maximum(wide[:, 4], wide[:, 3])
        return wide


Progress = Callable[[int, float, Callable[[], Forecaster]], None]  # epoch, loss, the model so far


def level_and_scale(history: Array) -> tuple[Array, Array]:
    """Mean and deviation of the last week, [n, 1] each; the scale of a week that hardly moves is not zero."""
    week = history[:, -WEEK:]
    level = week.mean(axis=1, keepdims=True)
    return level, week.std(axis=1, keepdims=True) + 1e-3 * np.abs(level) + 1e-9


def calibrated(model: Forecaster, history: Array, followed: Array) -> Forecaster:
    """Bounds moved so that they hold on these windows as often as they say.

    Split conformal prediction with the distance in units of the interval's own half (Lei et al. 2018, section 5.2).
    """
    found = model.quantiles(history)
    middle = found[:, MIDDLE]
    factors = [
        _quantile(_distance(followed, middle, found[:, low], found[:, high]), level / 100)
        for level, (low, high) in LEVELS.items()
    ]
    return replace(model, widening=tuple(factors))


def _distance(followed: Array, middle: Array, low: Array, high: Array) -> Array:
    """1 on the bounds, 0 in the middle."""
    tiny = 1e-9 * (1 + np.abs(middle))
    return np.maximum(
        (middle - followed) / np.maximum(middle - low, tiny),
        (followed - middle) / np.maximum(high - middle, tiny),
    )


def _quantile(values: Array, share: float) -> float:
    return round(float(np.quantile(values, share)), 6)
