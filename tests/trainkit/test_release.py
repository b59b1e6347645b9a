"""The writer of artifacts: what it writes can be served, and what cannot be served is not written."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.trainkit.toy import METRICS, PARAMS, declare
from trainkit.artifact import verified_digest
from trainkit.errors import TrainError
from trainkit.golden import Asked, Tensor, document
from trainkit.release import Parity, Release, write_release
from v2serve.artifact import verify
from v2serve.contract import RequestCheck
from v2serve.model import Runtime
from v2serve.observe.reference import load_reference
from v2serve.pipeline import load_pipeline
from v2serve.warmup import golden_answer, load_golden, warm_up

ABOUT = dict.fromkeys(("title", "summary", "use", "limits", "source", "licence"), "words")
LENGTHS = """
import base64
import binascii
import numpy as np
from v2serve.pipeline import BadInput

def load(folder):
    global shift
    shift = int((folder / "shift.txt").read_text())

def preprocess(inputs, parameters):
    items = inputs["image"].tolist()
    if any(not item for item in items):
        raise BadInput("image[0]: empty; send a picture")
    return {"x": np.array([[len(_raw(item)) + shift] for item in items], np.float32)}

def _raw(item):
    try:
        return base64.b64decode(item, validate=True)
    except binascii.Error:
        return item

def postprocess(outputs, inputs, parameters):
    return {"length": outputs["y"][:, 0] * parameters.get("times", 1)}
"""
IMAGES = [b"\xff\xd8\xff", b"\xff\xd8\xff\x00\x01"]


def doubling() -> bytes:
    """`x` [batch, 1] -> `y` = 2 x."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1]) for name in "xy"]
    two = helper.make_tensor("two", TensorProto.FLOAT, [], [2.0])
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "two"], ["y"])], "toy", ends[:1], ends[1:], [two]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(onnx.ModelProto.SerializeToString(model, deterministic=True))


def objects(items: list[Any]) -> NDArray[Any]:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def plain(**changes: Any) -> Release:
    """Served by the graph alone."""
    given: dict[str, Any] = {
        "graph": doubling(),
        "inputs": [Tensor("x", "FP32", (-1, 1))],
        "outputs": [Tensor("y", "FP32", (-1, 1))],
        "parameters": {"unit": "cm"},
        "golden": [{"x": np.array([[0.1], [3.0]], np.float32)}],
        "golden_tolerance": 1e-4,
        "reference": {"rows": 2},
        "about": ABOUT,
        "method": "Measured on nothing.",
        "parity": Parity(1e-7, 1e-5, 2),
    }
    return Release(**{**given, **changes})


def coded(**changes: Any) -> Release:
    """Served by model.py and the graph: twice the length of each image, plus twice the shift of its file."""
    given = {
        "inputs": [Tensor("image", "BYTES", (-1,))],
        "outputs": [Tensor("length", "FP32", (-1,))],
        "golden": [{"image": objects(IMAGES)}],
        "files": {"shift.txt": b"5"},
    }
    return plain(**{**given, **changes})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The job's folder, in it."""
    (tmp_path / "training-jobs").mkdir()
    job = declare(tmp_path / "training-jobs")
    (job / "params.yaml").write_text(yaml.safe_dump(PARAMS), encoding="utf-8")
    (job / "metrics.json").write_text(json.dumps(METRICS), encoding="utf-8")
    monkeypatch.chdir(job)
    return job


def serve_with(folder: Path, source: str) -> None:
    code = folder.parents[1] / "model-servers/toy-model/model.py"
    code.parent.mkdir(parents=True)
    code.write_text(source, encoding="utf-8")


def golden(folder: Path) -> Any:
    return json.loads((folder / "artifact/golden.json").read_text("utf-8"))


def test_a_graph_becomes_an_artifact_that_its_server_warms_up(folder: Path) -> None:
    line = write_release(plain())
    artifact = folder / "artifact"
    digest = verified_digest(artifact)
    assert line == f"{digest}, largest difference from the source 1.0e-07 of 1e-05 allowed"
    verify(artifact, digest)
    pipeline = load_pipeline(artifact, "toy-model", Runtime())
    assert warm_up(golden_answer(RequestCheck(pipeline.contract), pipeline.run), load_golden(artifact)) > 0
    assert golden(folder)["response"]["outputs"][0]["data"] == [0.2, 6.0]
    contract = json.loads((artifact / "contract.json").read_text("utf-8"))
    assert contract["parameters"] == {"unit": "cm"}
    assert contract["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}]


def test_evidence_says_what_the_job_measured_and_from_what(folder: Path) -> None:
    write_release(plain(evidence={"slices": {"short": 0.5}}, not_reproducible="trained on a GPU"))
    evidence = json.loads((folder / "artifact/evidence.json").read_text("utf-8"))
    assert (evidence["job"], evidence["metrics"], evidence["slices"]) == ("toy", METRICS, {"short": 0.5})
    assert evidence["parity"] == {"largest_difference": 1e-07, "tolerance": 1e-05, "rows": 2}
    assert evidence["reproducible"] == "trained on a GPU"
    card = (folder / "artifact/model-card.md").read_text("utf-8")
    assert "| x | FP32 | [-1, 1] |" in card
    assert "does on 2 rows: the largest difference is 1e-07, 1e-05 are allowed" in card


def test_answers_on_reference_rows_are_what_serving_is_compared_with(folder: Path) -> None:
    write_release(plain(answers={"y": np.array([[0.2], [6.0]], np.float32)}))
    artifact = folder / "artifact"
    told = json.loads((artifact / "reference.json").read_text("utf-8"))
    assert (told["rows"], told["predictions"]["classes"]) == (2, {})
    pipeline = load_pipeline(artifact, "toy-model", Runtime())
    found = load_reference(artifact, pipeline.contract)
    assert found is not None
    assert found[1].outputs == (("y", 0),)


def test_the_golden_answers_are_those_of_model_py_and_the_graph(folder: Path) -> None:
    serve_with(folder, LENGTHS)
    write_release(coded())
    assert (folder / "artifact/model.py").read_text("utf-8") == LENGTHS
    assert golden(folder)["response"]["outputs"][0]["data"] == [16.0, 20.0]


def test_bytes_that_are_no_text_are_base64_in_json(folder: Path) -> None:
    serve_with(folder, LENGTHS)
    write_release(coded())
    (asked,) = golden(folder)["request"]["inputs"]
    assert [base64.b64decode(text) for text in asked["data"]] == IMAGES


def test_several_golden_requests_carry_their_parameters(folder: Path) -> None:
    serve_with(folder, LENGTHS)
    image = {"image": objects(IMAGES[:1])}
    write_release(coded(golden=[image, Asked(image, {"times": 3})]))
    first, second = golden(folder)
    assert (first["request"]["id"], second["request"]["id"]) == ("golden-1", "golden-2")
    assert second["request"]["parameters"] == {"times": 3}
    assert [found["response"]["outputs"][0]["data"] for found in (first, second)] == [[16.0], [48.0]]


def test_the_same_release_has_the_same_digest(folder: Path) -> None:
    serve_with(folder, LENGTHS)
    assert write_release(coded()) == write_release(coded())


def test_another_model_py_is_another_artifact(folder: Path) -> None:
    serve_with(folder, LENGTHS)
    first = write_release(coded())
    code = folder.parents[1] / "model-servers/toy-model/model.py"
    code.write_text(LENGTHS + "# reviewed\n", encoding="utf-8")
    assert write_release(coded()) != first


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"parity": Parity(2e-5, 1e-5)}, "disagrees with its source by 2e-05, 1e-05 are allowed"),
        ({"parity": Parity(float("nan"), 1e-5)}, "disagrees with its source by nan"),
        ({"golden": []}, "no golden request"),
        ({"golden": [{"z": np.zeros((1, 1))}]}, "golden: its inputs are ['z'], the contract's are ['x']"),
        ({"golden": [{"x": np.zeros((1, 2), np.float32)}]}, "shape [1, 2] given, the model takes [-1, 1]"),
        ({"golden": [{"x": np.array([[np.nan]], np.float32)}]}, "input 'x': data is not FP32"),
        ({"files": {"../x": b""}}, "file '../x' must be a relative path"),
        ({"files": {"model.py": b""}}, "file 'model.py' must be a relative path"),
        ({"files": {"SHA256SUMS": b""}}, "file 'SHA256SUMS' must be a relative path"),
        ({"evidence": {"metrics": {}}}, "evidence: metrics is written by trainkit; name yours otherwise"),
        ({"about": {**ABOUT, "licence": ""}}, "the model card needs licence"),
        ({"graph": b"onnx"}, "the artifact cannot be served: model.onnx"),
        ({"outputs": [Tensor("z", "FP32", (-1, 1))]}, "the artifact cannot be served: contract.json"),
        ({"inputs": [Tensor("x", "INT64", (-1, 1))]}, "the artifact cannot be served: contract.json"),
    ],
)
def test_what_cannot_be_served_is_not_written(folder: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(TrainError) as refused:
        write_release(plain(**changes))
    assert reason in str(refused.value)
    assert not (folder / "artifact").exists()


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "import base64",
            "import base64x",
            "model.py line 2: ModuleNotFoundError: No module named 'base64x'",
        ),
        ("np.float32)}", "np.float64)}", "preprocess: x: got float64 [2, 1], wanted FP32 [-1, 1]"),
        ('outputs["y"]', 'outputs["z"]', "postprocess raised in line 24: KeyError: 'z'"),
        ("validate=True", "validate=1 / 0", "preprocess raised in line 19: ZeroDivisionError: division by"),
        ("if any(not item", "if any(item", "image[0]: empty; send a picture"),
        ("return base64.b64decode(item, validate=True)", "return item", "answers base64 text otherwise than"),
    ],
)
def test_a_model_py_that_fails_on_golden_requests_is_named_with_its_line(
    folder: Path, capfd: pytest.CaptureFixture[str], old: str, new: str, reason: str
) -> None:
    assert old in LENGTHS
    serve_with(folder, LENGTHS.replace(old, new))
    with pytest.raises(TrainError) as refused:
        write_release(coded())
    assert reason in str(refused.value)
    assert capfd.readouterr() == ("", "")
    assert not (folder / "artifact").exists()


def test_an_artifact_needs_the_metrics_of_its_model(folder: Path) -> None:
    (folder / "metrics.json").unlink()
    with pytest.raises(TrainError, match=r"metrics\.json is missing: run the stage evaluate first"):
        write_release(plain())


@pytest.mark.parametrize(
    ("datatype", "values", "data"),
    [
        ("INT64", np.array([1, -2]), [1, -2]),
        ("BOOL", np.array([True, False]), [True, False]),
        ("FP64", np.array([0.1, np.nan]), [0.1, None]),
        ("FP32", np.array([0.1, np.inf], np.float32), [0.1, None]),
        ("BYTES", objects(["ä", b"b"]), ["ä", "b"]),
        ("BYTES", np.array(["a", "b"]), ["a", "b"]),
    ],
)
def test_a_tensor_is_json_without_losing_a_bit(datatype: Any, values: NDArray[Any], data: list[Any]) -> None:
    found = document(Tensor("t", datatype, (-1,)), values)
    assert (found["data"], found["shape"], found["datatype"]) == (data, [2], datatype)


def test_bytes_that_are_neither_bytes_nor_text_are_refused() -> None:
    with pytest.raises(TrainError, match="t: BYTES holds a int; give bytes or str"):
        document(Tensor("t", "BYTES", (-1,)), objects([1]))


def test_the_server_is_loaded_only_when_an_artifact_is_written() -> None:
    code = "import sys, trainkit.release; sys.exit(any(name.startswith('v2serve') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
