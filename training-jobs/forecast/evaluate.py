"""The 48 hours after each training series, and the test months of a transformer."""

import numpy as np
from baselines import BASELINES
from model import Forecaster
from naive import seasonal_naive
from plan import Plan, evaluation, train_params
from scores import Each, daily_step, each_series, gain, off_level
from series import Panel, learning_series, oil_temperature, panel, read_etth1, read_m4
from windows import newest, windows

from trainkit.documents import read_json, rounded, write_json
from trainkit.scores import Bootstrap
from trainkit.stage import METRICS, load_model, run_stage


def evaluate() -> str:
    plan, series, model = evaluation(), panel(read_m4()), load_model()
    naive = seasonal_naive(*windows(learning_series(), train_params().stride))
    found = {"": tested(model, series), "baseline_": tested(naive, series), **_classical()}
    bootstrap = Bootstrap(len(series.names), plan.seed, plan.resamples)
    metrics = {"series": float(len(series.names))}
    for prefix, each in found.items():
        metrics |= bootstrap.means(each, prefix)
    metrics |= off_level(found[""]) | gain(found[""], found["baseline_"], bootstrap)
    metrics |= etth1("etth1_", model, plan) | etth1("baseline_etth1_", naive, plan)
    write_json(METRICS, metrics)
    return _line(metrics)


def tested(model: Forecaster, series: Panel) -> Each:
    units = [daily_step(each) for each in series.train]
    return each_series(series.test, model.quantiles(newest(series.train)), units)


def etth1(prefix: str, model: Forecaster, plan: Plan) -> dict[str, float]:
    """Means over rolling origins of the test months of ETTh1's oil temperature; MASE in units of its training year."""
    train, test = oil_temperature(read_etth1())
    history, followed = windows([test], plan.etth1_stride)
    each = each_series(followed, model.quantiles(history), [daily_step(train)] * len(followed))
    return {prefix + name: rounded(values.mean()) for name, values in each.items() if name != "smape"}


def _classical() -> dict[str, Each]:
    found = read_json(BASELINES, "run the stage baselines first (dvc repro)")
    return {
        prefix: {name: np.array(values) for name, values in each.items()} for prefix, each in found.items()
    }


def _line(metrics: dict[str, float]) -> str:
    low, high = metrics["smape_low"], metrics["smape_high"]
    return (
        f"sMAPE {metrics['smape']:.2f} (95% {low:.2f} to {high:.2f}), seasonal naive {metrics['baseline_smape']:.2f}, "
        f"ETS {metrics['ets_smape']:.2f}; inside the 80% interval {metrics['coverage_80']:.3f}, "
        f"the 95% {metrics['coverage_95']:.3f}; MASE on ETTh1 {metrics['etth1_mase']:.3f}"
    )


if __name__ == "__main__":
    run_stage(evaluate)
