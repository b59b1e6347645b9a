"""cifar10 from pictures to the answers of its artifact, killed on the way, on several nodes, and swept."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml

from tests.jobs.conftest import checkout
from tests.jobs.explaining import golden_explained
from tests.jobs.job_modules import with_data, with_params
from tests.jobs.miniature_images import CLASSES, encoded, parquet, picture, pictures
from v2serve.artifact import verify
from v2serve.call import Call
from v2serve.model import Runtime
from v2serve.observe.reference import load_reference
from v2serve.pipeline import Pipeline, load_pipeline

pytestmark = pytest.mark.fleet
EPOCHS = 4


def with_batches_of(job: Path, size: int) -> None:
    base = job / "conf/base.yaml"
    base.write_text(base.read_text("utf-8").replace("batch: 256", f"batch: {size}"), encoding="utf-8")


def miniature(folder: Path) -> Path:
    data = {"train.parquet": parquet(pictures(160, 1)), "test.parquet": parquet(pictures(40, 2))}
    job = with_data(checkout(folder), "cifar10", data)
    with_params(job, validate={"min_images_per_class": 2}, train={"epochs": EPOCHS, "learning_rate": 0.3})
    with_batches_of(job, 32)
    return job


def environment(job: Path, **more: str) -> dict[str, str]:
    """Bytecode stays where the packages have theirs: compiling torch anew would take longer than the tests."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(("MAINLINE_", "PET_"))}
    return {**found, "PYTHONPATH": str(job.parent), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", **more}


def run(job: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(
        command, cwd=job, env=environment(job), capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The job's folder after all stages."""
    job = miniature(tmp_path_factory.mktemp("jobs") / "clone")
    for words in (
        ["validate.py"],
        ["train.py", "baseline"],
        ["train.py"],
        ["convert.py"],
        ["evaluate.py"],
        ["export.py"],
    ):
        done = run(job, *words)
        assert done.returncode == 0, done.stderr
    return job


@pytest.fixture(scope="module")
def pipeline(made: Path) -> Pipeline:
    return load_pipeline(made / "artifact", "cifar10", Runtime())


def test_its_answers_are_watched_for_nobody_could_compare_images(made: Path, pipeline: Pipeline) -> None:
    found = load_reference(made / "artifact", pipeline.contract)
    assert found is not None
    reference, place = found
    assert (place.inputs, place.label, place.outputs) == ((), "label", (("probabilities", 1),))
    assert sum(reference.predictions.classes.values()) == pytest.approx(1)
    contract = json.loads((made / "artifact/contract.json").read_text("utf-8"))
    assert set(reference.predictions.classes) == set(contract["parameters"]["labels"])


@pytest.fixture
def again(made: Path, tmp_path: Path) -> Path:
    """The job's folder before it was trained."""
    clone = tmp_path / "again"
    shutil.copytree(made.parents[1], clone, symlinks=True)
    job = clone / "training-jobs/cifar10"
    shutil.rmtree(job / "work/checkpoints")
    (job / "work/model.safetensors").unlink()
    return job


def started(job: Path, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "train.py"],
        cwd=job,
        env=environment(job, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def stopped_after(job: Path, line: str, number: signal.Signals) -> int:
    """Train, send the signal as soon as the line is there, and return how the process ended."""
    with started(job) as child:
        assert child.stdout is not None
        for said in child.stdout:
            if said.startswith(line):
                child.send_signal(number)
                break
        child.stdout.read()
        return child.wait(60)


def test_the_artifact_answers_pixels_and_files_alike(made: Path, pipeline: Pipeline) -> None:
    verify(made / "artifact", _digest(made))
    pixels = picture(4, np.random.default_rng(9))
    image = (pixels.transpose(2, 0, 1)[None] / np.float32(255)).astype(np.float32)
    files = np.array([encoded(pixels)], object)
    by_pixels, by_file = (_ask(pipeline, given) for given in ({"image": image}, {"image_bytes": files}))
    assert by_pixels["label"].tolist() == by_file["label"].tolist()
    assert by_pixels["label"][0].decode() in CLASSES
    assert np.allclose(by_pixels["probabilities"], by_file["probabilities"], atol=1e-5)
    assert by_pixels["probabilities"].sum() == pytest.approx(1, abs=1e-5)


def test_pixels_and_files_are_explained_cell_by_cell(made: Path) -> None:
    by_pixels, by_file = golden_explained(made / "artifact", "cifar10")
    rows = len(by_pixels["label"])
    for told in (by_pixels, by_file):
        assert told["explanation"].shape == (rows, 4, 4)
        assert told["explanation_base"] == pytest.approx(told["probabilities"].max(axis=1), abs=1e-5)
    # A mean colour is a whole number in a file only.
    assert by_file["explanation"] == pytest.approx(by_pixels["explanation"], abs=0.02)
    assert np.abs(by_pixels["explanation"]).max() > 0


def test_the_metrics_have_both_variants_with_their_intervals(made: Path) -> None:
    metrics = yaml.safe_load((made / "metrics.json").read_text("utf-8"))
    for name in ("accuracy", "baseline_accuracy"):
        assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]
    assert {f"recall_{name}" for name in CLASSES} <= metrics.keys()
    assert metrics["accuracy"] > 0.3  # ten kinds of stripes


def test_a_training_that_is_killed_twice_ends_with_the_same_bytes(made: Path, again: Path) -> None:
    for epoch in (1, 2):
        assert stopped_after(again, f"epoch {epoch} of", signal.SIGKILL) == -signal.SIGKILL
        assert not (again / "work/model.safetensors").exists()
    done = run(again, "train.py")
    assert done.returncode == 0, done.stderr
    assert "goes on after epoch 2 of 4" in done.stdout
    assert _bytes(again, "work/model.safetensors") == _bytes(made, "work/model.safetensors")
    for stage in ("convert.py", "evaluate.py", "export.py"):
        assert run(again, stage).returncode == 0
    assert _bytes(again, "artifact/SHA256SUMS") == _bytes(made, "artifact/SHA256SUMS")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_that_is_asked_to_stop_does_and_leaves_no_weights(
    again: Path, number: signal.Signals, code: int
) -> None:
    assert stopped_after(again, "epoch 1 of", number) == code
    assert not (again / "work/model.safetensors").exists()


def test_another_recipe_does_not_go_on_from_these_checkpoints(again: Path) -> None:
    assert stopped_after(again, "epoch 1 of", signal.SIGKILL) == -signal.SIGKILL
    with_params(again, train={"learning_rate": 0.2})
    done = run(again, "train.py")
    assert done.returncode == 0, done.stderr
    assert "goes on" not in done.stdout


def test_a_full_disk_is_one_line(again: Path) -> None:
    (again / "work/checkpoints").write_text("a file in the way", encoding="utf-8")
    done = run(again, "train.py")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].endswith("Not a directory; free the disk or fix it")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"variant": "best"}, "params.yaml: train.variant is 'best'; write advanced or baseline"),
        ({"recipe": "huge"}, "params.yaml: train.recipe is 'huge'; known: baseline, resnet, small"),
        ({"epochs": -1}, "params.yaml: train.epochs is -1; write 0 to 10000"),
        (
            {"learning_rate": 1.0e30},
            "params.yaml: train.learning_rate is 1e+30; write a number above 0, at most 1000",
        ),
        ({"learning_rate": 1000.0}, ": lower train.learning_rate"),
    ],
)
def test_params_that_cannot_be_trained_are_refused(
    again: Path, changes: dict[str, object], reason: str
) -> None:
    with_params(again, train=changes)
    done = run(again, "train.py")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert reason in done.stderr.strip().splitlines()[-1]


def test_a_graph_that_is_too_large_is_not_exported(again: Path, made: Path) -> None:
    shutil.copyfile(made / "work/model.safetensors", again / "work/model.safetensors")
    with_params(again, export={"largest_megabytes": 0.5})
    done = run(again, "convert.py")
    assert done.returncode == 1
    assert "trainkit: the graph has 1.2 MB, params.yaml export.largest_megabytes is 0.5" in done.stderr


def test_what_is_served_is_int8_and_says_what_that_cost(made: Path) -> None:
    told = json.loads(_bytes(made, "artifact/evidence.json"))["int8"]
    kinds = {tensor.data_type for tensor in onnx.load(made / "artifact/model.onnx").graph.initializer}
    assert told["served"] == "int8"
    assert told["full"] - told["int8"] == pytest.approx(told["loss"], abs=1e-5)
    assert told["int8_bytes"] == (made / "artifact/model.onnx").stat().st_size < told["full_bytes"] / 3
    assert onnx.TensorProto.INT8 in kinds
    metrics = json.loads(_bytes(made, "metrics.json"))
    assert metrics["accuracy"] == pytest.approx(told["int8"], abs=1e-5)  # what is gated is what is served


def test_float32_is_served_where_int8_is_not_wanted(again: Path, made: Path) -> None:
    shutil.copyfile(made / "work/model.safetensors", again / "work/model.safetensors")
    with_params(again, export={"quantize": False})
    done = run(again, "convert.py")
    assert done.returncode == 0, done.stderr
    kinds = {tensor.data_type for tensor in onnx.load(again / "work/model.onnx").graph.initializer}
    assert onnx.TensorProto.INT8 not in kinds


def test_weights_of_another_network_are_named(again: Path) -> None:
    shutil.copyfile(again / "work/baseline.safetensors", again / "work/model.safetensors")
    done = run(again, "convert.py")
    assert done.returncode == 1
    assert "work/model.safetensors is no whitened of small: delete it and run dvc repro" in done.stderr


def test_the_recipe_for_a_gpu_trains_exports_and_stays_below_50_megabytes(again: Path) -> None:
    conf = again / "conf/resnet.yaml"
    conf.write_text(
        conf.read_text("utf-8").replace("precision: 16-mixed", "precision: 32-true"), encoding="utf-8"
    )
    with_params(again, train={"recipe": "resnet", "epochs": 1})
    for words in (["train.py"], ["convert.py"], ["evaluate.py"], ["export.py"]):
        done = run(again, *words)
        assert done.returncode == 0, done.stderr
    told = json.loads(_bytes(again, "artifact/evidence.json"))["int8"]
    assert 20e6 < told["full_bytes"] < 50e6
    assert told["int8_bytes"] == len(_bytes(again, "artifact/model.onnx")) < told["full_bytes"] / 3


def test_two_nodes_train_one_model_and_one_of_them_keeps_the_checkpoints(
    made: Path, again: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(again.parents[1], other, symlinks=True)
    shared = {
        "PET_NNODES": "2",
        "PET_NPROC_PER_NODE": "1",
        "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": str(_free_port()),
        "TRAINKIT_CHECKPOINTS": f"file://{tmp_path}/store",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    jobs = (again, other / "training-jobs/cifar10")
    children = [started(job, PET_NODE_RANK=str(rank), **shared) for rank, job in enumerate(jobs)]
    said = [child.communicate(timeout=200)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    assert ["epoch 4 of 4" in text for text in said] == [True, False]
    weights = [_weights(job) for job in jobs]
    trained = [name for name in weights[0] if name.startswith("body") and "running" not in name]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in trained)
    assert len(list((tmp_path / "store").rglob("*.safetensors"))) == 2


def test_a_sweep_finds_the_best_of_its_trials(again: Path) -> None:
    done = run(again, "-m", "trainkit", "sweep", "--no-register", ".", "max_trials=2", "fixed.train.epochs=1")
    assert done.returncode == 0, done.stderr
    best = yaml.safe_load((again / "work/best.yaml").read_text("utf-8"))
    assert best["train"].keys() == {"learning_rate", "weight_decay", "label_smoothing"}


def _digest(job: Path) -> str:
    import hashlib

    return f"sha256:{hashlib.sha256((job / 'artifact/SHA256SUMS').read_bytes()).hexdigest()}"


def _bytes(job: Path, name: str) -> bytes:
    return (job / name).read_bytes()


def _weights(job: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    found: dict[str, Any] = load_file(job / "work/model.safetensors")
    return found


def _ask(pipeline: Pipeline, feeds: dict[str, Any]) -> dict[str, Any]:
    specs = list(pipeline.contract.outputs)
    found = pipeline.run(Call(feeds, specs, "test", {}))
    return {spec.name: values for spec, values in zip(specs, found, strict=True)}


def _free_port() -> int:
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
