"""ETS for each series, by statsforecast: the classical forecast that the network has to beat."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from model import LEVELS, QUANTILES
from plan import evaluation
from scores import daily_step, each_series
from series import DAY, HORIZON, panel, read_m4
from windows import Array

from trainkit.documents import write_json
from trainkit.stage import run_stage

BASELINES = Path("work/baselines.json")
MODEL = "ZNZ"  # no trend: a third of the time of trying trends too, and as good on ten series


def baselines() -> str:
    plan, panel_ = evaluation(), panel(read_m4())
    began, found = time.monotonic(), []
    for number, series in enumerate(panel_.train, start=1):
        found.append(ets(series[-plan.ets_hours :]))
        if number % 20 == 0:
            seconds = time.monotonic() - began
            print(f"ets: {number} of {len(panel_.train)} series, {seconds:.0f} s", flush=True)  # noqa: T201
    each = each_series(panel_.test, np.stack(found), [daily_step(series) for series in panel_.train])
    write_json(BASELINES, {"ets_": {name: values.round(6).tolist() for name, values in each.items()}})
    return f"ETS of {len(found)} series, sMAPE {each['smape'].mean():.2f}"


def ets(series: Array) -> Array:
    """[quantiles, HORIZON]."""
    from statsforecast.models import AutoETS

    answer: dict[str, Any] = AutoETS(season_length=DAY, model=MODEL).forecast(
        series, h=HORIZON, level=list(LEVELS)
    )
    quantiles = np.empty((len(QUANTILES), HORIZON))
    quantiles[QUANTILES.index(0.5)] = answer["mean"]
    for level, (low, high) in LEVELS.items():
        quantiles[low], quantiles[high] = answer[f"lo-{level}"], answer[f"hi-{level}"]
    return quantiles


if __name__ == "__main__":
    run_stage(baselines)
