"""The seasonal naive forecast as a Forecaster: the last day again, with the spread of its past errors."""

import numpy as np
from model import QUANTILES, Forecaster, level_and_scale
from series import DAY, HORIZON
from windows import LENGTH, Array


def seasonal_naive(history: Array, followed: Array) -> Forecaster:
    """`history` [n, LENGTH], `followed` [n, HORIZON] are windows whose errors give the spread."""
    linear = np.zeros((LENGTH, HORIZON), np.float32)
    linear[LENGTH - DAY + np.arange(HORIZON) % DAY, np.arange(HORIZON)] = 1
    level, scale = level_and_scale(history)
    missed = (followed - level) / scale - (history - level) / scale @ linear
    spread = np.quantile(missed, QUANTILES, axis=0)
    spread[QUANTILES.index(0.5)] = 0  # the forecast is the day itself
    silent = np.zeros((LENGTH, spread.size), np.float32)
    return Forecaster(linear, ((silent, spread.reshape(-1).astype(np.float32)),))
