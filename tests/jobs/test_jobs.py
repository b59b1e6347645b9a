"""Both jobs, from a commit to a registered version, and what stops them on the way."""

import json
import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import yaml

from infra.declarations.job import TrainingJob
from tests.jobs.conftest import ROOT, Run, checkout
from v2serve.artifact import verify
from v2serve.contract import load_contract

JOBS = ["iris", "production-tabular"]
FILES = {
    "model.onnx",
    "contract.json",
    "golden.json",
    "reference.json",
    "evidence.json",
    "explain.json",
    "model-card.md",
    "SHA256SUMS",
}
BARS = {"iris": ("accuracy", 0.95), "production-tabular": ("roc_auc", 0.98)}
TENSORS = {
    "iris": [("features", "FP32", [-1, 4]), ("label", "BYTES", [-1]), ("probabilities", "FP32", [-1, 3])],
    "production-tabular": [
        ("features", "FP32", [-1, 10]),
        ("label", "BYTES", [-1]),
        ("probability", "FP32", [-1]),
    ],
}


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a stage or command that ended with exit code 1."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_a_commit_becomes_a_registered_version_with_a_served_contract(
    clone: Path, run: Run, name: str
) -> None:
    job = clone / "training-jobs" / name
    made = answer(run(job, "-m", "trainkit", "run", "."))
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, capture_output=True, text=True, check=True)
    assert (made["model"], made["version"], made["new"]) == (name, 1, True)
    metric, bar = BARS[name]
    assert made["metrics"][metric] >= bar
    artifact = job / "artifact"
    assert {path.name for path in artifact.iterdir()} == FILES
    verify(artifact, made["digest"])
    _check_contract(artifact, name)
    _check_golden(artifact)
    _check_registered(clone.parent / "mlflow.db", made, head.stdout.strip())
    again = answer(run(job, "-m", "trainkit", "run", "."))
    assert again == {**made, "new": False}
    status = ["git", "status", "--porcelain"]
    assert subprocess.run(status, cwd=clone, capture_output=True, text=True, check=True).stdout == ""


def _check_contract(artifact: Path, name: str) -> None:
    contract = load_contract(artifact)
    tensors = [*contract.inputs, *contract.outputs]
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in tensors] == TENSORS[name]
    session = onnxruntime.InferenceSession(artifact / "model.onnx")
    names = [tensor.name for tensor in [*session.get_inputs(), *session.get_outputs()]]
    assert names == [tensor.name for tensor in tensors]


def _check_golden(artifact: Path) -> None:
    document = json.loads((artifact / "golden.json").read_text("utf-8"))
    (asked,) = document["request"]["inputs"]
    features = np.array(asked["data"], dtype=np.float32).reshape(asked["shape"])
    session = onnxruntime.InferenceSession(artifact / "model.onnx")
    found = session.run(None, {"features": features})
    for output, values in zip(document["response"]["outputs"], found, strict=True):
        assert output["data"] == pytest.approx(values.ravel().tolist(), abs=1e-6)


def _check_registered(database: Path, made: dict[str, Any], head: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("select key, value from tags where run_uuid = ?", (made["run"],)).fetchall()
        status = connection.execute("select status from runs where run_uuid = ?", (made["run"],)).fetchall()
    tags = dict(rows)
    assert (tags["mainline.code"], tags["mainline.dirty"], tags["mainline.digest"]) == (
        head,
        "false",
        made["digest"],
    )
    assert status == [("FINISHED",)]


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_two_clean_runs_make_the_same_bytes(tmp_path: Path, run: Run, name: str) -> None:
    sums = []
    for number in (1, 2):
        job = checkout(tmp_path / f"clone{number}") / "training-jobs" / name
        done = run(job, "-m", "trainkit", "run", "--no-register", ".")
        assert done.returncode == 0, done.stderr
        sums.append((job / "artifact/SHA256SUMS").read_bytes())
    assert sums[0] == sums[1]


@pytest.mark.slow
def test_dvc_repro_alone_works_in_the_jobs_folder(clone: Path, run: Run) -> None:
    job = clone / "training-jobs/iris"
    wrapped = "import os,sys; os.environ['PATH']=os.path.dirname(sys.executable)+':'+os.environ['PATH']; "
    done = run(job, "-c", f"{wrapped}from dvc.cli import main; sys.exit(main(['repro']))")
    assert done.returncode == 0, done.stderr
    shown = run(job, "-m", "dvc", "metrics", "show", "--json")
    assert json.loads(shown.stdout)[""]["data"]["metrics.json"]["data"]["accuracy"] >= 0.95


def test_a_failing_check_stops_the_pipeline_before_training(clone: Path, run: Run) -> None:
    job = clone / "training-jobs/iris"
    edit(job / "schema.py", '"sepal_length", "cm", 1.0, 15.0', '"sepal_length", "cm", 1.0, 7.0')
    line = refusal(run(job, "-m", "trainkit", "run", "--no-register", "."))
    assert line.startswith(
        "trainkit: iris.csv fails 1 of 14 checks: ranges: 12 values out of range, first sepal"
    )
    report = json.loads((job / "work/report.json").read_text("utf-8"))
    assert [check["check"] for check in report["checks"] if not check["passed"]] == ["ranges"]
    assert not (job / "work/model.joblib").exists()


@pytest.mark.parametrize("name", JOBS)
def test_an_unknown_parameter_stops_its_stage(clone: Path, run: Run, name: str) -> None:
    job = clone / "training-jobs" / name
    run(job, "-m", "trainkit", "fetch", ".")
    edit(job / "params.yaml", "min_class_share", "min_class_shares")
    line = refusal(run(job, "validate.py"))
    assert line.startswith("trainkit: params.yaml: validate.min_class_shares is not a parameter; known: ")
    assert "min_class_share," in line


@pytest.mark.parametrize("name", JOBS)
def test_an_unknown_variant_is_refused_with_those_there_are(clone: Path, run: Run, name: str) -> None:
    job = clone / "training-jobs" / name
    run(job, "-m", "trainkit", "fetch", ".")
    edit(job / "params.yaml", "variant: advanced", "variant: best")
    line = refusal(run(job, "train.py"))
    assert line == "trainkit: params.yaml: train.variant is 'best'; write advanced or baseline"


@pytest.mark.parametrize("name", JOBS)
def test_a_number_that_makes_no_model_is_one_line(clone: Path, run: Run, name: str) -> None:
    job = clone / "training-jobs" / name
    run(job, "-m", "trainkit", "fetch", ".")
    known = re.search(r"n_estimators: \d+", (job / "params.yaml").read_text("utf-8"))
    assert known is not None
    edit(job / "params.yaml", known[0], "n_estimators: 0")
    line = refusal(run(job, "train.py"))
    assert line == "trainkit: params.yaml: train.n_estimators is 0; write 1 to 10000"


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_one_word_trains_the_baseline_which_passes_the_same_bar(clone: Path, run: Run, name: str) -> None:
    job, (metric, bar) = clone / "training-jobs" / name, BARS[name]
    edit(job / "params.yaml", "variant: advanced", "variant: baseline")
    done = run(job, "-m", "trainkit", "run", "--no-register", ".")
    assert done.returncode == 0, done.stderr
    found = json.loads((job / "metrics.json").read_text("utf-8"))
    assert found[metric] == found[f"baseline_{metric}"] >= bar
    assert f"{name} train: baseline, " in done.stderr


@pytest.mark.slow
def test_data_that_drifted_from_the_version_that_serves_is_refused(clone: Path, run: Run) -> None:
    job = clone / "training-jobs/production-tabular"
    run(job, "-m", "trainkit", "fetch", ".")
    last = json.loads((job / "reference.json").read_text("utf-8"))
    last["features"][0]["quantiles"] = [edge + 3 for edge in last["features"][0]["quantiles"]]
    (job / "reference.json").write_text(json.dumps(last), encoding="utf-8")
    line = refusal(run(job, "validate.py"))
    assert "fails 1 of " in line
    assert "drift of mean_radius: PSI " in line
    assert "put the reference.json of a release that knows it beside job.yaml" in line


def test_changed_data_is_refused_before_anything_runs(clone: Path, run: Run) -> None:
    job = clone / "training-jobs/iris"
    assert run(job, "-m", "trainkit", "fetch", ".").returncode == 0
    edit(job / "data/iris.csv", "5.1,3.5,1.4,0.2,0", "5.1,3.5,1.4,0.2,1")
    line = refusal(run(job, "-m", "trainkit", "run", "."))
    assert "iris.csv has sha256" in line
    assert "delete the file to fetch it again" in line


def test_a_stage_without_its_data_says_how_to_get_it(clone: Path, run: Run) -> None:
    line = refusal(run(clone / "training-jobs/iris", "validate.py"))
    assert line == "trainkit: data/iris.csv is missing: python -m trainkit fetch ."


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "5.1,3.5,1.4,0.2,0",
            ",3.5,1.4,0.2,0",
            "missing values: 1 NaN or infinite values, first in sepal_length",
        ),
        ("5.1,3.5,1.4,0.2,0", "5.1,3.5,1.4,0.2,", "labels: 1 rows without a known class, first row 1"),
        ("150,4,", "149,4,", "the header says 149 rows, the file has 150"),
        ("setosa", "rosa", "classes are ['rosa', 'versicolor', 'virginica']"),
    ],
)
def test_bad_rows_are_refused_by_validate(clone: Path, run: Run, old: str, new: str, reason: str) -> None:
    job = clone / "training-jobs/iris"
    run(job, "-m", "trainkit", "fetch", ".")
    edit(job / "data/iris.csv", old, new)
    assert reason in refusal(run(job, "validate.py"))


@pytest.mark.slow
def test_a_graph_that_disagrees_with_its_source_is_not_exported(clone: Path, run: Run) -> None:
    job = clone / "training-jobs/production-tabular"
    for words in (["-m", "trainkit", "fetch", "."], ["train.py"]):
        assert run(job, *words).returncode == 0
    (job / "metrics.json").write_text('{"accuracy": 0.5}', encoding="utf-8")
    edit(job / "export.py", "index(POSITIVE)", "index('benign')")
    edit(job / "export.py", "predict_proba(table.features)[:, column]", "predict_proba(table.features)[:, 1]")
    line = refusal(run(job, "export.py"))
    assert "model.onnx disagrees with its source: probability differs by" in line
    assert not (job / "artifact").exists()


@pytest.mark.parametrize("name", JOBS)
def test_a_jobs_declaration_is_valid_for_the_platform_too(name: str) -> None:
    declared = yaml.safe_load((ROOT / "training-jobs" / name / "job.yaml").read_text("utf-8"))
    assert TrainingJob.model_validate(declared).name == name


def test_trainkit_and_the_jobs_import_nothing_of_the_rest() -> None:
    """But for the writer of artifacts, which asks v2serve for the golden answers (ADR 7)."""
    rooms = r"^\s*(?:from|import) (?:mainline|infra|policies|monitoring|v2serve|tests)\b"
    written = {*(ROOT / "training-jobs").rglob("*.py")} - {*(ROOT / "training-jobs").glob("*/artifact/*.py")}
    for path in written - {ROOT / "training-jobs/trainkit/release.py"}:
        assert re.findall(rooms, path.read_text("utf-8"), re.M) == [], path
