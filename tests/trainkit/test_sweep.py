"""Sweeps: bounded, repeatable, resumable after any end, and a picture of it in MLflow."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trainkit.sweeping import OBJECTIVE, sweeping
from trainkit.__main__ import main
from trainkit.errors import TrainError
from trainkit.job import Job
from trainkit.sweep import Swept, sweep

pytestmark = [pytest.mark.fleet, pytest.mark.filterwarnings("ignore")]  # MLflow's and alembic's deprecations

ROOT = Path(__file__).parents[2]
DECLARED = """\
from dataclasses import dataclass
from typing import Annotated

from trainkit.limits import Count, OneOf, Share


@dataclass(frozen=True)
class Train:
    rate: Share
    width: Count
    kind: Annotated[str, OneOf("plain", "it's")]
    steps: Count


""" + OBJECTIVE  # fmt: skip


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A sweep goes into its job's folder and imports what is there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("MAINLINE_CODE", "c0ffee0")
    yield
    sys.modules.pop("objective", None)


def _swept(job: Job, *overrides: str, client: Any = None) -> tuple[Swept, list[str]]:
    sys.modules.pop("objective", None)
    said: list[str] = []
    return sweep(job, overrides, client, said.append), said


def _trials(lines: list[str]) -> list[str]:
    """The values of each trial, as the lines say them."""
    return [line.rpartition("; ")[2] for line in lines if "trial " in line and "; " in line and "=" in line]


def test_a_sweep_tries_as_many_values_as_it_may_and_names_the_best(tmp_path: Path) -> None:
    found, said = _swept(sweeping(tmp_path))
    assert (found.complete, found.pruned, found.failed) == (8, 0, 0)
    losses = [float(line.split("loss ")[1].split()[0]) for line in said[:8]]
    assert found.value == pytest.approx(min(losses), rel=1e-5)
    assert found.trial == losses.index(min(losses)) + 1
    assert set(found.values) == {"train.rate", "train.width", "train.kind"}
    assert said[-1] == "toy sweep: 8 trials were tried; max_trials=N takes more"


def test_a_sweep_that_is_run_in_parts_tries_what_a_whole_one_tries(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = _trials(_swept(sweeping(tmp_path / "a"), "max_trials=12")[1])
    parts = [
        line
        for most in (3, 4, 12)
        for line in _trials(_swept(sweeping(tmp_path / "b"), f"max_trials={most}")[1])
    ]
    assert parts == whole
    assert len(set(whole)) == 12


def test_a_finished_sweep_tries_nothing_again(tmp_path: Path) -> None:
    job = sweeping(tmp_path)
    first, _ = _swept(job)
    again, said = _swept(job)
    assert again == first
    assert _trials(said) == []


def test_a_hopeless_trial_is_pruned_by_what_it_reports(tmp_path: Path) -> None:
    pruner = {"kind": "median", "startup_trials": 2, "warmup_steps": 0}
    found, said = _swept(sweeping(tmp_path, pruner=pruner, max_trials=12))
    assert found.pruned > 0
    assert found.complete + found.pruned == 12
    assert sum("pruned" in line for line in said) == found.pruned


def test_the_time_of_a_study_is_bounded_and_the_trial_that_it_ends_does_not_count(tmp_path: Path) -> None:
    slow = OBJECTIVE.replace("report(step", "__import__('time').sleep(0.4)\n        report(step")
    job = sweeping(tmp_path, slow, max_seconds=3, max_trials=100)
    begin = time.monotonic()
    found, said = _swept(job)
    assert time.monotonic() - begin < 30
    assert 1 <= found.complete < 4
    assert said[-1].endswith("max_seconds=N takes more")


def test_a_refused_value_fails_its_trial_and_the_sweep_goes_on(tmp_path: Path) -> None:
    refusing = OBJECTIVE.replace(
        "    return loss",
        "    if train['width'] > 3:\n        from trainkit.errors import TrainError\n"
        "        raise TrainError('too wide')\n    return loss",
    )
    found, said = _swept(sweeping(tmp_path, refusing))
    assert found.failed > 0
    assert found.complete + found.failed == 8
    assert any("failed: too wide" in line for line in said)
    assert found.values["train.width"] <= 3


def test_a_result_that_is_not_a_number_fails_its_trial(tmp_path: Path) -> None:
    with pytest.raises(
        TrainError, match=r"no trial .* came to its end: objective\(\) gave nan; return a finite"
    ):
        _swept(sweeping(tmp_path, OBJECTIVE.replace("return loss", "return float('nan')"), max_trials=2))


def test_a_defect_of_the_objective_ends_the_sweep_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(
        TrainError, match=r"broke with .*train.width=.*: ZeroDivisionError: .*\(objective.py:11\)"
    ):
        _swept(sweeping(tmp_path, OBJECTIVE.replace("return loss", "return loss / 0")))


@pytest.mark.parametrize(
    ("changes", "overrides", "reason"),
    [
        ({"metric": None}, [], "sweep.yaml: metric is missing; add it"),
        ({"mertic": "loss"}, [], "sweep.yaml: mertic is not a field; known: metric, direction"),
        ({"direction": "down"}, [], "direction is 'down'; write minimize or maximize"),
        ({"max_trials": 0}, [], "max_trials is 0; write a whole number from 1 to 1000000000"),
        ({}, ["seed=99999999999999"], "seed is 99999999999999; write a whole number from 0 to 4294967295"),
        (
            {},
            ["max_seconds=1" + "0" * 400],
            r"max_seconds is 10+\.\.\.; write a whole number from 1 to 1000000000",
        ),
        ({}, ["search.train.rate.high=1e400"], "search.train.rate.high is inf; write a number from"),
        ({}, ["+search.train.width.step=1e-30"], "search.train.width.step is 1e-30; write 7e-06 or more"),
        ({"pruner": {"kind": "hyperband"}}, [], "pruner.kind is 'hyperband'; write median or none"),
        ({"search": {}}, [], "search is empty; give it at least one parameter"),
        ({"search": {"train": {"depth": {"low": 1, "high": 2}}}}, [], "params.yaml: .*depth"),
        ({"fixed": {"train": {"depth": 2}}}, [], "params.yaml: .*depth"),
        ({}, ["max_trails=3"], "sweep.yaml: .*max_trails"),
        ({}, ["max_trials"], "sweep.yaml: .*max_trials"),
    ],
)
def test_a_wrong_plan_is_refused_before_anything_runs(
    tmp_path: Path, changes: dict[str, Any], overrides: list[str], reason: str
) -> None:
    with pytest.raises(TrainError, match=reason):
        _swept(sweeping(tmp_path, **changes), *overrides)
    assert not (tmp_path / "toy/work/sweep.db").exists()


@pytest.mark.parametrize(
    ("objective", "reason"),
    [
        ("import nowhere\n", r"objective.py cannot be loaded: ModuleNotFoundError: .*nowhere"),
        ("objective = 1\n", "objective.py: objective is 1; write def objective"),
    ],
)
def test_an_objective_that_cannot_be_loaded_is_refused(tmp_path: Path, objective: str, reason: str) -> None:
    with pytest.raises(TrainError, match=reason):
        _swept(sweeping(tmp_path, objective))


@pytest.mark.parametrize(
    ("changes", "overrides", "reason"),
    [
        ({}, ["search.train.rate.high=1.5"], "search.train.rate.high is 1.5; write 0 to 1"),
        (
            {},
            ["search.train.rate={low:-1,high:0.5,log:false}"],
            "search.train.rate.low is -1.0; write 0 to 1",
        ),
        ({}, ["search.train.width.low=0.5"], "search.train.width.low is 0.5; write a value of type int"),
        (
            {},
            ["search.train.kind.choices=[plain,odd]"],
            "search.train.kind.choices is 'odd'; write plain or it's",
        ),
        ({"fixed": {"train": {"steps": 0}}}, [], "fixed.train.steps is 0; write 1 to 1000000"),
    ],
)
def test_what_a_parameter_does_not_take_is_refused_before_the_first_trial(
    tmp_path: Path, changes: dict[str, Any], overrides: list[str], reason: str
) -> None:
    with pytest.raises(TrainError) as refusal:
        _swept(sweeping(tmp_path, DECLARED, **changes), *overrides)
    assert str(refusal.value) == f"sweep.yaml: {reason}"
    assert not (tmp_path / "toy/work/sweep.db").exists()


def test_parameters_that_are_read_strictly_are_refused_as_such_by_a_sweep_too(tmp_path: Path) -> None:
    job = sweeping(tmp_path)
    path = job.folder / "params.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("width: 8", "width: 010"), encoding="utf-8")
    with pytest.raises(
        TrainError, match=r"^\S+params.yaml: line 4: 010 would be read as 8; write plain digits$"
    ):
        _swept(job)


def test_a_section_whose_types_are_not_declared_plainly_has_no_limits(tmp_path: Path) -> None:
    job = sweeping(tmp_path, f"from __future__ import annotations\n{DECLARED}", max_trials=1)
    assert _swept(job, "search.train.rate.high=1.5")[0].complete == 1


def test_what_the_parameters_take_is_tried(tmp_path: Path) -> None:
    found, _ = _swept(sweeping(tmp_path, DECLARED, max_trials=2))
    assert found.complete == 2


def test_the_largest_seed_is_a_seed_of_every_trial(tmp_path: Path) -> None:
    found, _ = _swept(sweeping(tmp_path, seed=4294967295, max_trials=3))
    assert found.complete == 3


def test_a_file_below_conf_that_is_changed_begins_another_study(tmp_path: Path) -> None:
    def studied(rate: str) -> Swept:
        path = tmp_path / "toy/conf/recipes/small.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"rate: {rate}\n", encoding="utf-8")
        return _swept(sweeping(tmp_path, max_trials=1))[0]

    first, other, again = studied("0.1"), studied("0.2"), studied("0.1")
    assert (first.study == again.study, first.study == other.study) == (True, False)


def test_other_data_or_sources_are_another_study(tmp_path: Path) -> None:
    first, _ = _swept(sweeping(tmp_path, max_trials=2))
    other, _ = _swept(sweeping(tmp_path, OBJECTIVE + "# changed\n", max_trials=2))
    assert first.study != other.study
    assert other.complete == 2


def test_every_trial_is_a_nested_run_under_one_parent(tmp_path: Path, registry: Path) -> None:
    from trainkit.registry import opened

    client = opened()
    job = sweeping(tmp_path, max_trials=3)
    found, _ = _swept(job, client=client)
    again, _ = _swept(job, "max_trials=5", client=client)
    assert again.parent == found.parent
    parent = client.get_run(str(found.parent))
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics == {"best_loss": again.value}
    home = parent.info.experiment_id
    nested = client.search_runs([home], f"tags.`mlflow.parentRunId` = '{found.parent}'")
    assert sorted(run.info.run_name for run in nested) == [f"trial {number}" for number in range(1, 6)]
    assert {run.info.status for run in nested} == {"FINISHED"}
    best = next(run for run in nested if run.info.run_name == f"trial {again.trial}")
    assert best.data.metrics["loss"] == again.value
    assert best.data.params["train.width"] == str(again.values["train.width"])
    steps = [metric.step for metric in client.get_metric_history(best.info.run_id, "loss")]
    assert steps == [0, 1, 2, 3]


def test_what_a_registry_that_was_down_missed_is_written_later(
    tmp_path: Path, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainkit.registry import opened

    client, job = opened(), sweeping(tmp_path, max_trials=3)

    def down(*_: Any, **__: Any) -> None:
        raise OSError("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(client, "log_batch", down)
        with pytest.raises(TrainError, match="connection refused"):
            _swept(job, client=client)
    found, said = _swept(job, client=client)
    assert _trials(said) == []
    nested = client.search_runs(
        [client.get_run(str(found.parent)).info.experiment_id],
        f"tags.`mlflow.parentRunId` = '{found.parent}'",
    )
    assert [run.info.status for run in nested] == ["FINISHED"] * 3


def test_a_sweep_that_is_killed_goes_on_with_the_trial_that_was_cut_off(tmp_path: Path) -> None:
    slow = OBJECTIVE.replace("report(step", "__import__('time').sleep(0.2)\n        report(step")
    job = sweeping(tmp_path, slow, max_trials=5)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'training-jobs'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "trainkit", "sweep", str(job.folder), "--no-register", "--write"]
    first = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert first.stderr is not None
    said = ""
    for line in first.stderr:
        said += line
        if "trial 2 of 5" in line:
            time.sleep(0.3)
            first.kill()
    assert first.wait() == -signal.SIGKILL, said
    first.stderr.close()
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["complete"], found["failed"]) == (5, 0)
    assert "trial 3 of 5" in done.stderr
    assert "trial 2 of 5" not in done.stderr
    width = found["values"]["train.width"]
    assert f"  width: {width}\n" in (job.folder / "params.yaml").read_text(encoding="utf-8")


def test_overrides_are_taken_before_and_after_the_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = sweeping(tmp_path)
    seen: list[tuple[list[str], bool]] = []
    monkeypatch.setattr(
        "trainkit.__main__._sweep", lambda _, overrides, write, register: seen.append((overrides, register))
    )
    monkeypatch.setattr("trainkit.__main__.end_with_parent", lambda: None)
    monkeypatch.setattr("trainkit.__main__.keep_bytecode", lambda _: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    folder = str(job.folder)
    assert main(["sweep", folder, "--no-register", "max_trials=1"]) == 0
    assert main(["sweep", folder, "seed=3", "--no-register", "max_trials=1"]) == 0
    assert main(["sweep", "--no-register", folder, "max_trials=1"]) == 0
    assert seen == [(["max_trials=1"], False), (["seed=3", "max_trials=1"], False), (["max_trials=1"], False)]


@pytest.mark.parametrize("words", [["sweep", "toy", "--registers"], ["run", "toy", "max_trials=1"]])
def test_what_a_verb_does_not_take_is_wrong_usage(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert f"unrecognized arguments: {words[-1]}" in capsys.readouterr().err
