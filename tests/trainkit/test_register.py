"""Registration: everything or nothing, once for the same bytes; a broken registry is one line."""

import importlib.metadata
import json
import platform
import socket
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.trainkit.toy import CSV, CSV_SHA256, METRICS, export
from trainkit import register as module
from trainkit.__main__ import main
from trainkit.artifact import verified_digest
from trainkit.errors import TrainError
from trainkit.job import Job
from trainkit.provenance import provenance
from trainkit.register import entry_of, register
from trainkit.registry import check_database, opened, without_secret

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's and alembic's own deprecations

ROOT = Path(__file__).parents[2]


def test_a_version_carries_digest_code_data_metrics_and_params(exported: Job, registry: Path) -> None:
    answer, digest = register(exported, opened()), verified_digest(exported.folder / "artifact")
    assert answer == {
        "model": "toy-model",
        "version": 1,
        "run": answer["run"],
        "digest": digest,
        "metrics": METRICS,
        "new": True,
    }
    run = opened().get_run(answer["run"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics == METRICS
    assert run.data.params == {"train.seed": "7"}
    own = {name: value for name, value in run.data.tags.items() if name.startswith("mainline.")}
    assert own == {
        "mainline.job": "toy",
        "mainline.code": "c0ffee0",
        "mainline.dirty": "false",
        "mainline.data": json.dumps(exported.digests()),
        "mainline.digest": digest,
        "mainline.seed": '{"train.seed": 7}',
        "mainline.python": platform.python_version(),
        "mainline.packages": own["mainline.packages"],
    }
    assert json.loads(own["mainline.packages"])["onnxruntime"] == importlib.metadata.version("onnxruntime")
    assert run.data.tags["mlflow.source.git.commit"] == "c0ffee0"
    version = opened().get_model_version("toy-model", "1")
    assert {name: version.tags[name] for name in own} == own
    assert "| inputs | `features` | FP32 | [-1, 2] |" in str(version.description)


def test_the_versions_source_is_the_artifact_byte_for_byte(exported: Job, registry: Path) -> None:
    answer = register(exported, opened())
    source = opened().get_model_version("toy-model", str(answer["version"])).source
    assert source == f"{(registry.parent / 'artifacts/toy').as_uri()}/{answer['run']}/artifacts/artifact"
    assert verified_digest(Path(source.removeprefix("file://"))) == answer["digest"]


def test_the_same_bytes_are_registered_once(exported: Job, registry: Path) -> None:
    first, second = (register(exported, opened()) for _ in range(2))
    assert second == {**first, "new": False}
    assert len(opened().search_model_versions("name = 'toy-model'")) == 1


def test_other_bytes_are_a_new_version(exported: Job, registry: Path) -> None:
    register(exported, opened())
    export(exported, {"metrics": {"accuracy": 0.75}})
    again = register(exported, opened())
    assert (again["version"], again["new"], again["metrics"]) == (2, True, {"accuracy": 0.75})


def test_the_newest_version_has_the_alias_and_a_cut_off_one_gets_it_later(
    exported: Job, registry: Path
) -> None:
    client = opened()
    register(exported, client)
    assert int(client.get_model_version_by_alias("toy-model", "newest").version) == 1
    client.delete_registered_model_alias("toy-model", "newest")
    register(exported, client)
    assert int(client.get_model_version_by_alias("toy-model", "newest").version) == 1
    export(exported, {"metrics": {"accuracy": 0.75}})
    register(exported, client)
    assert int(client.get_model_version_by_alias("toy-model", "newest").version) == 2


def test_a_registration_killed_between_run_and_version_is_completed_not_repeated(
    exported: Job, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = opened()

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(client, "create_model_version", killed)
        # What is killed marks nothing as failed.
        patch.setattr(module, "_failed_unless_done", lambda *_: nullcontext())
        with pytest.raises(KeyboardInterrupt):
            register(exported, client)
    answer = register(exported, client)
    assert (answer["version"], answer["new"]) == (1, True)
    (run,) = client.search_runs([client.get_experiment_by_name("toy").experiment_id])
    assert (run.info.run_id, run.info.status) == (answer["run"], "FINISHED")


def test_a_run_that_was_killed_is_marked_as_failed_by_the_next_one(
    exported: Job, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = opened()

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_log", killed)
        patch.setattr(module, "_failed_unless_done", lambda *_: nullcontext())
        with pytest.raises(KeyboardInterrupt):
            register(exported, client)
    monkeypatch.setattr(module, "STALE", -1.0)
    answer = register(exported, client)
    runs = client.search_runs([client.get_experiment_by_name("toy").experiment_id])
    assert {run.info.run_id == answer["run"]: run.info.status for run in runs} == {
        True: "FINISHED",
        False: "FAILED",
    }


def test_data_files_are_inputs_with_digest_source_columns_and_use(exported: Job, registry: Path) -> None:
    (exported.folder / "data").mkdir()
    (exported.folder / "data/toy.csv").write_bytes(CSV)
    run = opened().get_run(register(exported, opened())["run"])
    (found,) = run.inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("toy.csv", CSV_SHA256[:36])
    assert (found.dataset.source_type, json.loads(found.dataset.source)) == (
        "package",
        {"uri": "package:trainkit/toy.csv", "sha256": CSV_SHA256},
    )
    columns = json.loads(found.dataset.schema)["mlflow_colspec"]
    assert [(column["name"], column["type"]) for column in columns] == [
        ("length", "double"), ("width", "double"), ("label", "long"),
    ]  # fmt: skip
    assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", "training")]


def test_mlflow_reads_the_contract_as_the_models_signature(exported: Job, registry: Path) -> None:
    from mlflow.models import get_model_info

    answer = register(exported, opened())
    found = get_model_info(f"runs:/{answer['run']}/model")
    assert found.signature is not None
    assert [(spec.name, spec.type.name, spec.shape) for spec in found.signature.inputs] == [
        ("features", "float32", (-1, 2))
    ]
    assert [spec.name for spec in found.signature.outputs] == ["label"]
    assert found.metadata["digest"] == answer["digest"]


@pytest.mark.parametrize("step", ["log_artifacts", "create_registered_model", "create_model_version"])
def test_a_failure_leaves_a_failed_run_and_no_version(
    exported: Job, registry: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    client = opened()

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(client, step, fail)
    with pytest.raises(TrainError, match=r"MLflow at sqlite:.* refused: disk full"):
        register(exported, client)
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FAILED"]
    assert client.search_model_versions("name = 'toy-model'") == []
    monkeypatch.undo()


def test_an_interrupt_marks_the_run_as_failed(
    exported: Job, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_log", interrupt)
    with pytest.raises(KeyboardInterrupt):
        register(exported, opened())
    (run,) = opened().search_runs([opened().get_experiment_by_name("toy").experiment_id])
    assert run.info.status == "FAILED"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": {"toy.csv": "sha256:0"}}, "was made with other data than are declared now"),
        ({"params": {"train": {"seed": 8}}}, "was made with other params than are declared now"),
        ({"metrics": {}}, "has no metrics"),
        ({"metrics": {"accuracy": float("nan")}}, "metric accuracy is nan, not a number"),
    ],
)
def test_an_artifact_of_other_inputs_is_not_registered(
    exported: Job, changes: dict[str, Any], reason: str
) -> None:
    export(exported, changes)
    with pytest.raises(TrainError, match=reason):
        entry_of(exported)


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table invoices (id int)")
        connection.commit()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda path: path.write_bytes(b"not a database, but long enough" * 40),
            "not an MLflow database, it is not SQ",
        ),
        (_foreign, "is a database of something else, it has the table invoices"),
    ],
)
def test_a_file_that_is_no_registry_is_refused(
    tmp_path: Path, make: Callable[[Path], Any], reason: str
) -> None:
    make(tmp_path / "mlflow.db")
    with pytest.raises(TrainError, match=reason):
        check_database(tmp_path / "mlflow.db", 0.1)


def test_a_locked_registry_is_refused_after_the_wait(registry: Path) -> None:
    with closing(sqlite3.connect(registry, isolation_level=None)) as other:
        other.execute("begin exclusive")
        with pytest.raises(
            TrainError, match=r"was locked for 0\.2 s: end the process that holds it, or wait"
        ):
            check_database(registry, 0.2)
        other.execute("rollback")


def test_a_registry_in_a_missing_folder_is_refused_in_one_line_without_a_traceback(
    exported: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened.cache_clear()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{exported.folder}/none/mlflow.db")
    assert main(["register", str(exported.folder)]) == 1
    assert capsys.readouterr().err == (
        f"trainkit: the folder of the MLflow database {exported.folder}/none/mlflow.db does not exist: "
        f"mkdir -p {exported.folder}/none\n"
    )


def test_a_registry_that_is_not_named_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    opened.cache_clear()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(TrainError, match="MLFLOW_TRACKING_URI is not set: sqlite:"):
        opened()


def _git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_code_is_the_commit_and_changes_are_dirty(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAINLINE_CODE", raising=False)
    root = job.folder.parent
    (root / "trainkit").mkdir()
    _git(root, "init", "-q")
    _git(root, "add", "-A")
    _git(root, "commit", "-qm", "toy")
    head = _git(root, "rev-parse", "HEAD")
    assert vars(provenance(job.folder)) == {"code": head, "dirty": False}
    (root / "elsewhere.txt").write_text("of no matter", encoding="utf-8")
    assert provenance(job.folder).dirty is False
    (root / "trainkit/new.py").write_text("", encoding="utf-8")
    assert provenance(job.folder).dirty is True


def test_a_commit_that_is_not_checked_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINLINE_CODE", "c0ffee0")
    with pytest.raises(TrainError, match=r"MAINLINE_CODE is c0ffee0, but .* is at [0-9a-f]{40}"):
        provenance(ROOT / "training-jobs/iris")


def test_a_folder_outside_git_needs_to_be_told_its_commit(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAINLINE_CODE", raising=False)
    with pytest.raises(TrainError, match="is in no Git commit and MAINLINE_CODE is not set"):
        provenance(job.folder)


def test_a_new_database_is_made_whole_or_not_at_all(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainkit import registry as opening

    real = opening._client
    registry.unlink()

    def cut_off(uri: str) -> None:
        with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as half:
            half.execute("create table label_schemas (x)")
        raise KeyboardInterrupt

    monkeypatch.setattr(opening, "_client", cut_off)
    with pytest.raises(KeyboardInterrupt):
        opened()
    assert not registry.exists()
    monkeypatch.setattr(opening, "_client", real)
    assert list(opened().search_registered_models()) == []
    assert sorted(path.name for path in registry.parent.glob("*mlflow.db*")) == ["mlflow.db"]


def test_a_database_server_that_is_down_is_said_at_once_and_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened.cache_clear()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        monkeypatch.setenv(
            "MLFLOW_TRACKING_URI", f"postgresql+psycopg2://mainline:pa55@127.0.0.1:{port}/mlflow"
        )
        with pytest.raises(TrainError) as refused:
            opened()
    assert str(refused.value) == (
        f"MLflow's database postgresql+psycopg2://mainline:***@127.0.0.1:{port}/mlflow cannot be reached "
        "(Connection refused): start it, or set MLFLOW_TRACKING_URI"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("at http://user:secret@host/x: no", "at http://user:***@host/x: no"),
        ("sqlite:////folder/mlflow.db", "sqlite:////folder/mlflow.db"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
    ],
)
def test_only_passwords_are_left_out(text: str, said: str) -> None:
    assert without_secret(text) == said
