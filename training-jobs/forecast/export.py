"""The forecaster as an artifact: `history` [-1,-1], `horizon` [1] -> `mean` and four bounds, [-1,-1] each."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from graph import OUTPUTS, forecast_graph
from model import MIDDLE, Forecaster, level_and_scale
from numpy.typing import NDArray
from scores import smape
from series import HORIZON, Panel, panel, read_m4
from windows import LENGTH, Array, newest, windows

from trainkit.documents import rounded
from trainkit.graph import run, session
from trainkit.limits import Between, Tolerance
from trainkit.params import read_params
from trainkit.quantize import Choice, Metric, choose, quantized
from trainkit.release import Asked, Parity, Release, Tensor, write_release
from trainkit.stage import load_model, run_stage

PLACES = (MIDDLE, 1, 3, 0, 4)  # of OUTPUTS among the quantiles
LIMITS = {
    "shortest_history": LENGTH,
    "longest_history": 20_000,
    "default_horizon": 24,
    "largest_horizon": HORIZON,
    "largest_rows": 256,
    "largest_magnitude": 1e15,
}
ABOUT = {
    "title": "Hourly forecasts, two days ahead",
    "summary": "A linear map of the last two weeks and a small network around it, trained on all series together: "
    "the forecast (made for absolute error, so a median) and intervals that should hold 80 and 95 % of what comes.",
    "use": "hourly series with daily and weekly habits: load, traffic, demand. It reads two weeks and no other fact.",
    "limits": "series of another rhythm than the hour, histories with gaps, holidays, levels that jump. The intervals "
    "hold on the average over series and hours, not for every series.",
    "source": "M4 competition, hourly series (Makridakis, Spiliotis, Assimakopoulos 2018), every fourth, and the oil "
    "temperature of ETTh1 (Zhou et al., AAAI 2021).",
    "licence": "M4: published by the organisers, no licence file. ETTh1: CC BY-ND 4.0.",
}
METHOD = (
    "The 48 hours after each training series, once; means over series, 95% intervals by bootstrap over series. "
    "Widths of the intervals: split conformal on the last training hours, which the model that set them had not seen. "
    "MASE in units of the seasonal naive error (24 hours) in training. ETTh1: the standard split; the model learned "
    "from its training year, and forecasts are made from origins through the test months."
)


@dataclass(frozen=True)
class Limits:
    golden_series: Annotated[int, Between(1, 1000)]
    tolerance: Tolerance
    quantize: bool
    quantize_loss: Annotated[float, Between(0, 200)]  # as far as sMAPE goes


def export() -> str:
    model, limits, series = load_model(), read_params("export", Limits), panel(read_m4())
    content = forecast_graph(model)
    choice = chosen(content, series, limits)
    made = write_release(
        Release(
            graph=choice.graph,
            inputs=(Tensor("history", "FP32", (-1, -1)), Tensor("horizon", "INT64", (1,), optional=True)),
            outputs=tuple(Tensor(name, "FP32", (-1, -1)) for name in OUTPUTS),
            parameters=LIMITS,
            golden=golden(series, limits.golden_series),
            golden_tolerance=limits.tolerance,
            reference=reference(series),
            about=ABOUT,
            method=METHOD,
            parity=parity(content, model, series, limits.tolerance),
            answers={"mean": run(session(choice.graph), {"history": served(newest(series.train))})["mean"]},
            evidence={"int8": choice.evidence},
        )
    )
    return f"{made}; {choice.line}"


def chosen(content: bytes, series: Panel, limits: Limits) -> Choice:
    """sMAPE on the test hours with int8 weights and without, each series asked alone, as most requests do."""
    history = served(newest(series.train))
    calls = [{"history": history[row : row + 1]} for row in range(len(history))]

    def score(graph: bytes) -> float:
        opened = session(graph)
        forecast = np.concatenate([run(opened, call)["mean"] for call in calls])
        return float(smape(series.test, forecast.astype(np.float64)).mean())

    return choose(content, quantized(content), Metric("smape", score, higher_is_better=False), calls, limits)


def parity(content: bytes, model: Forecaster, series: Panel, tolerance: float) -> Parity:
    """ONNX Runtime in float32 against numpy on windows of every series, in units of each history's deviation."""
    history = served(windows(series.train, HORIZON)[0])
    answers = run(session(content), {"history": history})
    found = np.stack([answers[name] for name in OUTPUTS], axis=1)
    expected = model.quantiles(history.astype(np.float64))[:, PLACES]
    # An answer is float32 and cannot be nearer than its own last digit, whatever the scale.
    apart = np.maximum(np.abs(found - expected) - np.spacing(np.abs(found)), 0)
    scale = level_and_scale(history.astype(np.float64))[1]
    return Parity(float((apart / scale[:, :, None]).max()), tolerance, len(history))


def served(history: Array) -> NDArray[np.float32]:
    """As requests bring it."""
    return np.ascontiguousarray(history, np.float32)


def golden(series: Panel, count: int) -> list[Asked]:
    """The newest hours of some series with a horizon, and of another without."""
    rows = np.linspace(0, len(series.names) - 1, count + 1).astype(np.intp)
    history = served(newest(series.train))[rows]
    return [
        Asked({"history": history[:-1], "horizon": np.array([HORIZON])}),
        Asked({"history": history[-1:]}),
    ]


def reference(series: Panel) -> dict[str, Any]:
    """What the series looked like; a history is no row of features, so only forecasts are watched for drift."""
    levels = [float(train.mean()) for train in series.train]
    return {
        "rows": sum(map(len, series.train)),
        "features": [],
        "classes": {},
        "series": len(series.names),
        "level": {"lowest": rounded(min(levels)), "highest": rounded(max(levels))},
    }


if __name__ == "__main__":
    run_stage(export)
