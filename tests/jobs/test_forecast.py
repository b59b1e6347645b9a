"""The forecaster, from series to the answers of its artifact, on a miniature with a daily habit."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.jobs.conftest import ROOT, Run, checkout
from tests.jobs.conftest import run as run_fixture
from tests.jobs.job_modules import Import, job_alone, modules_of, refused, with_data, with_params
from tests.jobs.miniature_series import HORIZON, csv, etth1, hours, m4, parquet
from trainkit.errors import TrainError
from v2serve.artifact import verify
from v2serve.call import Call
from v2serve.model import Runtime
from v2serve.observe.reference import load_reference
from v2serve.pipeline import BadInput, Pipeline, load_pipeline

OUTPUTS = ["mean", "lower_80", "upper_80", "lower_95", "upper_95"]
FORTNIGHT = 336


@pytest.fixture
def imported() -> Iterator[Import]:
    with modules_of("forecast") as get:
        yield get


def miniature(root: Path, variant: str = "advanced", m4_table: pd.DataFrame | None = None) -> Path:
    """The job's folder below `root`, a checkout or a copy of the job alone, with tiny parameters."""
    table = m4() if m4_table is None else m4_table
    files = {"m4_hourly_100.parquet": parquet(table), "ETTh1.csv": csv(etth1())}
    job = with_data(root, "forecast", files)
    tiny = {"variant": variant, "hidden": 16, "epochs": 2, "stride": 4, "batch": 64}
    with_params(job, validate={"min_series": 4}, train=tiny, evaluate={"ets_hours": 96, "resamples": 100})
    return job


def refusal(run: Run, job: Path, *words: str) -> str:
    done = run(job, *words)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of the baseline, which needs no torch; its metrics are of no consequence here."""
    run = run_fixture.__wrapped__(tmp_path_factory.mktemp("forecast"), tmp_path_factory)  # type: ignore[attr-defined]
    job = miniature(checkout(tmp_path_factory.mktemp("jobs") / "clone"), "baseline")
    (job / "metrics.json").write_text('{"smape": 5.0}', encoding="utf-8")
    for stage in ("validate.py", "train.py", "export.py"):
        done = run(job, stage)
        assert done.returncode == 0, done.stderr
    return job / "artifact"


@pytest.fixture(scope="module")
def naive(made: Path) -> Pipeline:
    return load_pipeline(made, "forecast", Runtime())


def ask(pipeline: Pipeline, history: Any, horizon: int | None = None) -> dict[str, Any]:
    feeds = {"history": np.asarray(history, np.float32)}
    if horizon is not None:
        feeds["horizon"] = np.array([horizon], np.int64)
    specs = list(pipeline.contract.outputs)
    return {spec.name: values for spec, values in zip(specs, pipeline.run(Call(feeds, specs)), strict=True)}


def test_int8_is_measured_and_not_served_unless_it_is_asked_for(made: Path, tmp_path: Path, run: Run) -> None:
    measured = json.loads((made / "evidence.json").read_text("utf-8"))["int8"]
    assert (measured["metric"], measured["served"]) == ("smape", "full")
    assert measured["int8_bytes"] < measured["full_bytes"] == (made / "model.onnx").stat().st_size
    clone = tmp_path / "again"
    shutil.copytree(made.parents[2], clone, symlinks=True)
    job = clone / "training-jobs/forecast"
    with_params(job, export={"quantize": True, "quantize_loss": 50.0})
    assert run(job, "export.py").returncode == 0
    assert (job / "artifact/model.onnx").stat().st_size == measured["int8_bytes"]


def test_its_forecasts_are_watched_for_nobody_could_compare_histories(made: Path, naive: Pipeline) -> None:
    found = load_reference(made, naive.contract)
    assert found is not None
    assert (found[1].inputs, found[1].label, found[1].outputs) == ((), None, (("mean", 0),))


def test_the_baseline_repeats_the_last_day(naive: Pipeline) -> None:
    history = hours(1, 400)
    found = ask(naive, [history], HORIZON)
    assert list(found) == OUTPUTS
    assert found["mean"][0] == pytest.approx(np.tile(history[-24:], 2), rel=1e-5)


def test_the_bounds_enclose_each_other_in_every_hour(naive: Pipeline) -> None:
    found = ask(naive, [hours(1, 400), hours(2, 400, 1e6)], HORIZON)
    order = ["lower_95", "lower_80", "mean", "upper_80", "upper_95"]
    assert (np.diff([found[name] for name in order], axis=0) >= 0).all()


def test_without_a_horizon_a_day_is_answered(naive: Pipeline) -> None:
    found = ask(naive, [hours(1, 400)])
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(OUTPUTS, (1, 24))


@pytest.mark.parametrize("horizon", [1, 48])
def test_a_shorter_horizon_is_the_beginning_of_a_longer_one(naive: Pipeline, horizon: int) -> None:
    whole, part = ask(naive, [hours(1, 400)], 48), ask(naive, [hours(1, 400)], horizon)
    for name in OUTPUTS:
        assert part[name].tolist() == whole[name][:, :horizon].tolist()


def test_only_the_last_two_weeks_are_read(naive: Pipeline) -> None:
    history = hours(1, 500)
    long, short = ask(naive, [history]), ask(naive, [history[-FORTNIGHT:]])
    assert long["mean"].tolist() == short["mean"].tolist()


@pytest.mark.parametrize("factor", [1e-6, 1e9])
def test_other_units_give_the_same_forecast_in_those_units(naive: Pipeline, factor: float) -> None:
    history = hours(1, FORTNIGHT)
    plain, scaled = ask(naive, [history]), ask(naive, [history * factor])
    for name in OUTPUTS:
        assert scaled[name] / factor == pytest.approx(plain[name], rel=1e-4)


def changed(place: int, value: float) -> list[float]:
    history = hours(1, 400).tolist()
    history[place] = value
    return history


@pytest.mark.parametrize(
    ("history", "horizon", "reason"),
    [
        ([hours(1, 400)], 0, "input 'horizon': 0 given, the model takes 1 to 48 hours"),
        ([hours(1, 400)], -1, "input 'horizon': -1 given"),
        ([hours(1, 400)], 10_000, "input 'horizon': 10000 given"),
        (
            [hours(1, 335)],
            24,
            r"input 'history': 335 hours given, the model takes 336 \(two weeks\) to 20000",
        ),
        ([[]], 24, "input 'history': 0 hours given"),
        ([hours(1, 20_001)], 24, "input 'history': 20001 hours given"),
        (np.empty((0, 400)), 24, "input 'history': 0 histories given, the model takes 1 to 256"),
        (np.ones((257, 336)), 24, "input 'history': 257 histories given"),
        ([changed(399, np.nan)], 24, r"input 'history': element \[0,399\] is nan; give numbers from -1e\+15"),
        ([changed(70, -np.inf)], 24, r"input 'history': element \[0,70\] is -inf"),
        ([hours(2, 400), changed(64, 1e20)], 24, r"input 'history': element \[1,64\] is 1.0+\d*e\+20"),
        ([hours(1, 400), [7.0] * 400], 24, "input 'history': row 1 is 7.0 in all of its last 336 hours"),
    ],
)
def test_bad_requests_are_refused_with_their_reason(
    naive: Pipeline, history: Any, horizon: int, reason: str
) -> None:
    with pytest.raises(BadInput, match=f"^{reason}"):
        ask(naive, history, horizon)


def test_a_gap_before_the_hours_that_are_read_does_no_harm(naive: Pipeline) -> None:
    assert np.isfinite(ask(naive, [changed(3, np.nan)])["mean"]).all()


def test_a_series_that_hardly_moves_has_finite_answers(naive: Pipeline) -> None:
    history = np.full(FORTNIGHT, 1e6)
    history[5] += 0.5
    found = ask(naive, [history])
    assert all(np.isfinite(values).all() for values in found.values())
    assert found["mean"] == pytest.approx(1e6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda t: t.assign(value=t.value.where(t.index != 3)),
            "M4 column value: 1 values, first nan of row 4: missing",
        ),
        (
            lambda t: t.assign(value=t.value.where(t.index != 3, np.inf)),
            "M4 column value: 1 values, first inf of row 4: not ",
        ),
        (lambda t: t.assign(split=t.split.replace("test", "held")), "M4 column split: "),
        (lambda t: t.drop(columns="step"), "M4 column step: is missing"),
        (lambda t: pd.concat([t, t.head(2)]), "M4 columns together: 4 rows, first row "),
        (lambda t: t[t.series_id == "H1"], "M4 series: 1 series, at least 4 are needed"),
        (lambda t: t.drop(index=100), "M4 hours: 1 series miss hours, first H1"),
        (
            lambda t: t[(t.series_id != "H5") | (t.step <= 720)],
            "M4 split: 1 series, first H5 with 700 training and 20 test",
        ),
        (
            lambda t: t.assign(split=np.where(t.step <= 48, "test", "train")),
            "M4 split: 8 series train on hours after their test, first H1",
        ),
        (
            lambda t: t.assign(value=t.value.where(t.series_id != "H5", t.value.shift(748))),
            "M4 leakage: two series have the same test hours",
        ),
        (
            lambda t: t.assign(
                value=t.value.where((t.series_id != "H5") | (t.split == "train"), t.value.shift(200))
            ),
            "M4 leakage: the test hours of H5 are in the training hours of H5",
        ),
        (
            lambda t: t.assign(value=t.value.where((t.series_id != "H9") | (t.split == "test"), 3.0)),
            "M4 constant series: H9 has one value in a share of 1.000, above 0.5",
        ),
    ],
)
def test_series_that_nothing_may_learn_from_are_refused(
    tmp_path: Path,
    imported: Import,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    reason: str,
) -> None:
    job = miniature(job_alone(tmp_path, "forecast"), m4_table=change(m4()))
    monkeypatch.chdir(job)
    with pytest.raises(TrainError, match=r"^the data fails \d of \d+ checks: ") as refused:
        imported("validate").validate()
    assert reason in str(refused.value)


def test_a_file_that_is_not_parquet_is_refused_in_one_line(tmp_path: Path, run: Run) -> None:
    job = miniature(job_alone(tmp_path, "forecast"))
    (tmp_path / "training-jobs/trainkit").symlink_to(ROOT / "training-jobs/trainkit")
    (job / "data/m4_hourly_100.parquet").write_bytes(b"PAR1 and no more")
    line = refusal(run, job, "validate.py")
    assert line.startswith("trainkit: data/m4_hourly_100.parquet is no parquet table: ")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.drop(index=500), "ETTh1 hours: 1 rows do not follow the row before by an hour"),
        (lambda t: t.head(9000), "ETTh1 hours: 9000 hours, the standard split needs 14400"),
        (
            lambda t: t.drop(columns="OT"),
            "ETTh1 column OT: is missing",
        ),
    ],
)
def test_a_broken_etth1_is_refused(
    imported: Import, change: Callable[[pd.DataFrame], pd.DataFrame], reason: str
) -> None:
    whole = pd.concat([etth1(), etth1().tail(1).assign(date="2018-02-21 00:00:00")], ignore_index=True)
    found = [finding for finding in imported("validate").etth1_findings(change(whole)) if not finding.passed]
    assert reason in f"{found[0].check}: {found[0].detail}"


@pytest.mark.parametrize(
    ("section", "values", "reason"),
    [
        ("train", {"variant": "arima"}, "variant is 'arima'; write advanced or baseline"),
        ("train", {"stride": 0}, "stride is 0; write 1 to 1000000"),
        ("train", {"held_out": 47}, "held_out is 47; write 48 to 100000"),
        ("train", {"held_out": 317}, "held_out is 317; write 48 to 316, as the shortest series allows"),
        (
            "train",
            {"held_out": 100_000},
            "held_out is 100000; write 48 to 316, as the shortest series allows",
        ),
        ("train", {"dropout": 1.0}, "dropout is 1.0; write 0 to 0.99"),
        ("evaluate", {"ets_hours": 1}, "ets_hours is 1; write 48 to 1000000"),
        ("evaluate", {"ets_hours": 47}, "ets_hours is 47; write 48 to 1000000"),
        ("evaluate", {"resamples": 1}, "resamples is 1; write 100 to 100000"),
        ("evaluate", {"etth1_stride": 1_000_000}, "etth1_stride is 1000000; write 1 to 314"),
        ("evaluate", {"etth1_stride": 315}, "etth1_stride is 315; write 1 to 314"),
    ],
)
def test_parameters_that_make_no_model_or_judge_nothing_are_refused(
    tmp_path: Path,
    imported: Import,
    monkeypatch: pytest.MonkeyPatch,
    section: str,
    values: dict[str, object],
    reason: str,
) -> None:
    job = miniature(job_alone(tmp_path, "forecast"))
    with_params(job, **{section: values})
    stage = imported("train").train if section == "train" else imported("plan").evaluation
    assert refused(monkeypatch, job, stage) == f"params.yaml: {section}.{reason}"


def test_the_largest_stride_leaves_the_fewest_origins_that_are_judged(imported: Import) -> None:
    plan, windows = imported("plan"), imported("windows")
    _, hours_to_test = imported("series").oil_temperature(etth1())
    assert len(windows.windows([hours_to_test], plan.LARGEST_STRIDE)[0]) == plan.LEAST_ORIGINS
    assert len(windows.windows([hours_to_test], plan.LARGEST_STRIDE + 1)[0]) < plan.LEAST_ORIGINS


def test_validation_says_how_many_hours_may_be_held_out_before_anything_is_trained(
    tmp_path: Path, imported: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = miniature(job_alone(tmp_path, "forecast"))
    with_params(job, train={"held_out": 600})
    told = refused(monkeypatch, job, imported("validate").validate)
    assert told == "params.yaml: train.held_out is 600; write 48 to 316, as the shortest series allows"


def test_the_most_hours_that_may_be_held_out_leave_a_window_to_learn_from(
    tmp_path: Path, imported: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = miniature(job_alone(tmp_path, "forecast"), "baseline")
    with_params(job, train={"held_out": 316})
    monkeypatch.chdir(job)
    assert imported("train").train().startswith("baseline, ")


def test_smape_and_mase_are_those_worked_out_by_hand(imported: Import) -> None:
    scores = imported("scores")
    assert scores.smape(np.array([[100.0, 50.0]]), np.array([[100.0, 150.0]])) == pytest.approx([50.0])
    train = np.arange(48, dtype=np.float64)
    assert scores.daily_step(train) == 24.0
    followed = np.zeros((1, 2))
    quantiles = np.array([[[-9.0, -9], [1, -1], [12, 12], [14, 14], [99, 99]]])
    found = scores.each_series(followed, quantiles, [24.0])
    assert (found["mase"][0], found["coverage_80"][0], found["coverage_95"][0]) == (0.5, 0.5, 1.0)
    assert scores.off_level(found) == {"coverage_80_off": 0.3, "coverage_95_off": 0.05}


def test_calibrated_intervals_hold_as_often_as_they_say(imported: Import) -> None:
    model, naive, windows = imported("model"), imported("naive"), imported("windows")
    rows = windows.windows([hours(seed, 700) for seed in range(6)], 3)
    narrow = naive.seasonal_naive(rows[0], rows[1])
    narrow = type(narrow)(narrow.linear, ((narrow.layers[0][0], narrow.layers[0][1] / 3),))
    wide = model.calibrated(narrow, *rows)
    found = wide.quantiles(rows[0])
    for level, (low, high) in model.LEVELS.items():
        inside = (rows[1] >= found[:, low] - 1e-9) & (rows[1] <= found[:, high] + 1e-9)
        assert inside.mean() == pytest.approx(level / 100, abs=0.01)


def test_windows_reach_the_newest_hour_and_never_overlap_what_they_forecast(imported: Import) -> None:
    windows = imported("windows")
    series = np.arange(500, dtype=np.float64)
    history, followed = windows.windows([series], 7)
    assert followed[0, -1] == 499
    assert (followed[:, 0] == history[:, -1] + 1).all()
    tail = windows.windows(windows.tails([series], 96), 1)[1]
    assert tail.min() == 500 - 96
    assert windows.windows(windows.shortened([series], 96), 1)[1].max() == 500 - 97


@pytest.mark.fleet
def test_the_whole_pipeline_learns_and_gives_the_same_bytes_again(tmp_path: Path, run: Run) -> None:
    job = miniature(checkout(tmp_path / "clone"))
    done = run(job, "-m", "trainkit", "run", "--no-register", ".")
    assert done.returncode == 0, done.stderr
    sums = (job / "artifact/SHA256SUMS").read_bytes()
    (job / "work/model.joblib").unlink()
    for stage in ("train.py", "export.py"):
        assert run(job, stage).returncode == 0
    assert (job / "artifact/SHA256SUMS").read_bytes() == sums
    metrics = json.loads((job / "metrics.json").read_text("utf-8"))
    assert metrics["smape"] < metrics["baseline_smape"]
    assert metrics["smape_low"] < metrics["smape"] < metrics["smape_high"]
    assert 0 < metrics["ets_smape"] < 200
    assert metrics["etth1_mase"] > 0
    verify(job / "artifact", f"sha256:{hashlib.sha256(sums).hexdigest()}")


@pytest.mark.fleet
def test_the_network_in_numpy_is_the_network_in_torch(imported: Import) -> None:
    import torch

    network, model = imported("network"), imported("model")
    torch.manual_seed(3)
    net = network.Network(16, 0.2).eval()
    torch.nn.init.normal_(net.layers[-1].weight, std=0.01)
    history = np.stack([hours(seed, FORTNIGHT) for seed in range(3)])
    level, scale = model.level_and_scale(history)
    with torch.no_grad():
        scaled = net(torch.from_numpy(((history - level) / scale).astype(np.float32))).numpy()
    expected = scaled[:, model.MIDDLE] * scale + level
    assert net.forecaster().quantiles(history)[:, model.MIDDLE] == pytest.approx(expected, rel=1e-5)


@pytest.mark.fleet
def test_a_sweep_judges_on_training_hours_and_reports_every_epoch(
    tmp_path: Path, imported: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainkit.params import all_params

    job = miniature(job_alone(tmp_path, "forecast"))
    monkeypatch.chdir(job)
    table = m4()
    table.loc[table.split == "test", "value"] = 1e8  # would show in the error, were it read
    (job / "data/m4_hourly_100.parquet").write_bytes(parquet(table))
    reported: list[tuple[int, float]] = []
    error = imported("objective").objective(
        all_params(job), lambda step, value: reported.append((step, value))
    )
    assert [step for step, _ in reported] == [1, 2]
    assert reported[-1][1] == error
    assert 0 < error < 50
