"""The int8 variant: measured beside the full graph, served only if asked for and if it loses little."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from trainkit.errors import TrainError
from trainkit.graph import run, session
from trainkit.quantize import Metric, calibrated, choose, milliseconds, quantized

ROWS = np.random.default_rng(1).normal(size=(64, 32)).astype(np.float32)
FEEDS = [{"features": ROWS[:1]}, {"features": ROWS}]


@dataclass(frozen=True)
class Limits:
    quantize: bool
    quantize_loss: float


def product() -> bytes:
    """`features` [batch, 32] -> `score` [batch, 8]."""
    weights = np.random.default_rng(2).normal(size=(32, 8)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["features", "weights"], ["score"])],
        "toy",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 32])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(weights, "weights")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(onnx.ModelProto.SerializeToString(made, deterministic=True))


def best(graph: bytes) -> NDArray[np.intp]:
    return np.asarray(run(session(graph), {"features": ROWS})["score"].argmax(axis=1))


def convolutions() -> bytes:
    """`image` [batch, 3, 8, 8] -> `score` [batch, 4, 8, 8], in two convolutions, `first` and `second`."""
    generator = np.random.default_rng(3)
    shapes = {"one": (8, 3, 3, 3), "two": (4, 8, 3, 3)}
    weights = {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "one"], ["inner"], name="first", pads=[1] * 4),
            helper.make_node("Relu", ["inner"], ["bent"], name="relu"),
            helper.make_node("Conv", ["bent", "two"], ["score"], name="second", pads=[1] * 4),
        ],
        "toy",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", 4, 8, 8])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(onnx.ModelProto.SerializeToString(made, deterministic=True))


FULL = product()
SMALL = quantized(FULL)
METRIC = Metric("accuracy", lambda graph: float((best(graph) == best(FULL)).mean()))


@pytest.fixture(autouse=True)
def _in_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_int8_answers_nearly_the_same_in_fewer_bytes() -> None:
    large, small = (run(session(graph), {"features": ROWS})["score"] for graph in (FULL, SMALL))
    assert 0 < np.abs(large - small).max() < 0.5
    assert len(SMALL) < len(FULL)
    kinds = {tensor.data_type for tensor in onnx.load_from_string(SMALL).graph.initializer}
    assert TensorProto.INT8 in kinds


def test_the_same_graph_has_the_same_int8_bytes(capfd: pytest.CaptureFixture[str]) -> None:
    assert quantized(FULL) == SMALL
    assert capfd.readouterr().out == ""


IMAGES = np.random.default_rng(4).normal(size=(16, 3, 8, 8)).astype(np.float32)
CALLS = [{"image": IMAGES[:8]}, {"image": IMAGES[8:]}]


def test_calibrated_convolutions_answer_nearly_the_same() -> None:
    full = convolutions()
    large, small = (
        run(session(graph), {"image": IMAGES})["score"] for graph in (full, calibrated(full, CALLS, ()))
    )
    assert 0 < np.abs(large - small).max() < 0.05 * np.abs(large).max()


def test_a_calibrated_answer_does_not_depend_on_the_other_rows_of_its_request() -> None:
    opened = session(calibrated(convolutions(), CALLS, ()))
    together = run(opened, {"image": IMAGES})["score"]
    alone = np.concatenate([run(opened, {"image": row[None]})["score"] for row in IMAGES])
    assert np.array_equal(together, alone)


def test_weights_have_seven_bits_so_that_every_processor_has_the_same_integers() -> None:
    graph = onnx.load_from_string(calibrated(convolutions(), CALLS, ())).graph
    weights = [numpy_helper.to_array(one) for one in graph.initializer if one.data_type == TensorProto.INT8]
    large = [values for values in weights if values.ndim == 4]
    assert len(large) == 2
    assert all(np.abs(values.astype(int)).max() <= 64 for values in large)


def test_nodes_that_stay_float_do() -> None:
    graph = onnx.load_from_string(calibrated(convolutions(), CALLS, ["first"])).graph
    floats = {
        one.name for one in graph.initializer if one.data_type == TensorProto.FLOAT and len(one.dims) == 4
    }
    assert floats == {"one"}


def test_the_same_graph_and_calls_have_the_same_calibrated_bytes(capfd: pytest.CaptureFixture[str]) -> None:
    assert calibrated(convolutions(), CALLS, ["first"]) == calibrated(convolutions(), CALLS, ["first"])
    assert capfd.readouterr().out == ""


def test_both_are_measured_and_the_full_one_is_served_unless_asked() -> None:
    choice = choose(FULL, SMALL, METRIC, FEEDS, Limits(quantize=False, quantize_loss=0.0))
    assert choice.graph == FULL
    assert (choice.evidence["served"], choice.evidence["full"], choice.evidence["full_bytes"]) == (
        "full",
        1.0,
        len(FULL),
    )
    assert choice.evidence["int8"] == round(METRIC.score(SMALL), 6)


def test_int8_is_served_if_asked_for_and_within_its_loss() -> None:
    choice = choose(FULL, SMALL, METRIC, FEEDS, Limits(quantize=True, quantize_loss=0.2))
    assert (choice.graph, choice.evidence["served"]) == (SMALL, "int8")
    assert "full accuracy 1.0000 in " in choice.line


@pytest.mark.parametrize("higher", [True, False])
def test_int8_that_loses_too_much_is_refused_with_the_figures(higher: bool) -> None:
    values = {FULL: 0.9, SMALL: 0.8} if higher else {FULL: 0.8, SMALL: 0.9}
    metric = Metric("quality", values.__getitem__, higher)
    with pytest.raises(
        TrainError, match=r"int8 loses 0\.1000 of quality, export\.quantize_loss allows 0\.01 \(full"
    ):
        choose(FULL, SMALL, metric, FEEDS, Limits(quantize=True, quantize_loss=0.01))


def test_a_metric_that_is_not_a_number_is_no_reason_to_serve_int8() -> None:
    metric = Metric("quality", lambda graph: float("nan") if graph == SMALL else 0.9)
    with pytest.raises(TrainError, match=r"quality is no number: full 0\.9, int8 nan"):
        choose(FULL, SMALL, metric, FEEDS, Limits(quantize=True, quantize_loss=0.5))


def test_times_are_reported_beside_the_artifact_and_not_in_it() -> None:
    choice = choose(FULL, SMALL, METRIC, FEEDS, Limits(quantize=False, quantize_loss=0.1))
    report = json.loads(Path("work/quantization.json").read_text("utf-8"))
    assert set(report["milliseconds"]) == {"full", "int8"}
    assert all(0 < value < 1000 for value in report["milliseconds"].values())
    assert "milliseconds" not in choice.evidence


def test_a_slow_graph_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainkit.quantize.PATIENCE", 0.0)
    assert milliseconds(FULL, FEEDS) > 0
