"""Cut series into what is known, the last two weeks, and what is asked, the next two days."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from series import HORIZON, WEEK

from trainkit.errors import TrainError

LENGTH = 2 * WEEK  # hours that a forecast reads
Array = NDArray[np.float64]


def windows(series: Sequence[Array], stride: int) -> tuple[Array, Array]:
    """Histories [n, LENGTH] and what followed [n, HORIZON], every `stride` hours, the newest window always."""
    cuts = [
        np.lib.stride_tricks.sliding_window_view(each, LENGTH + HORIZON)[::-1][::stride] for each in series
    ]
    rows = np.concatenate(cuts)
    return rows[:, :LENGTH], rows[:, LENGTH:]


def check_held_out(held_out: int, series: Sequence[Array]) -> None:
    """TrainError unless the shortest series keeps a window to learn from before the hours that are held out."""
    most = min(len(each) for each in series) - (LENGTH + HORIZON)
    if not HORIZON <= held_out <= most:
        raise TrainError(
            f"params.yaml: train.held_out is {held_out}; write {HORIZON} to {most}, as the shortest series allows"
        )


def shortened(series: Sequence[Array], steps: int) -> list[Array]:
    """Without the last `steps`, which the model is then judged on."""
    return [each[: len(each) - steps] for each in series]


def tails(series: Sequence[Array], steps: int) -> list[Array]:
    """The last `steps`, with the history that a forecast of the first of them reads."""
    return [each[-(LENGTH + steps) :] for each in series]


def newest(series: Sequence[Array]) -> Array:
    """[series, LENGTH]."""
    return np.stack([each[-LENGTH:] for each in series])
