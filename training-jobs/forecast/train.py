"""Fit on all training hours; the widths of the intervals are set on hours that a first fit did not see."""

import time
from collections.abc import Callable
from dataclasses import replace

from model import Forecaster, Progress, calibrated
from naive import seasonal_naive
from plan import TrainParams, train_params
from series import learning_series
from windows import Array, check_held_out, shortened, tails, windows

from trainkit.stage import run_stage, save_model


def train() -> str:
    params, series = train_params(), learning_series()
    check_held_out(params.held_out, series)
    early = windows(shortened(series, params.held_out), params.stride)
    first = fitted(params.variant, early, params, _said("widths", params))
    widths = calibrated(first, *windows(tails(series, params.held_out), 1)).widening
    every = windows(series, params.stride)
    model = fitted(params.variant, every, params, _said("model", params))
    save_model(replace(model, widening=widths))
    factors = " and ".join(f"{factor:.2f}" for factor in widths)
    return (
        f"{params.variant}, {len(every[0])} windows of {len(series)} series, intervals widened by {factors}"
    )


def fitted(variant: str, rows: tuple[Array, Array], params: TrainParams, progress: Progress) -> Forecaster:
    if variant == "baseline":
        return seasonal_naive(*rows)
    from network import fit  # torch is read only where a network is trained

    return fit(*rows, params, progress)


def _said(part: str, params: TrainParams) -> Progress:
    began = time.monotonic()

    def _progress(epoch: int, loss: float, _: Callable[[], Forecaster]) -> None:
        seconds = time.monotonic() - began
        print(f"{part}: epoch {epoch} of {params.epochs}, loss {loss:.4f}, {seconds:.0f} s", flush=True)  # noqa: T201

    return _progress


if __name__ == "__main__":
    run_stage(train)
