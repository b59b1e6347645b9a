"""The models of the serving benchmark, made by script: their weights are drawn, their shapes are real ones."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array

from v2serve.artifact import write_sums

_OPSET, _IR = 17, 9
_WIDE = 2048  # values in a row of each layer; three layers of weights, 50 MB, do not fit into a cache


@dataclass(frozen=True)
class Benched:
    """A model in a folder: its name is the folder's, its digest what a server must be told."""

    folder: Path
    digest: str
    shape: tuple[int, ...]  # of one request's input

    @property
    def name(self) -> str:
        return self.folder.name

    def values(self) -> np.ndarray[Any, Any]:
        """The input of every request, FP32, rounded as a person would send it."""
        drawn = np.random.default_rng(0).random(self.shape)
        return drawn.round(4).astype(np.float32)

    def request(self) -> dict[str, Any]:
        data = [float(str(value)) for value in self.values().ravel()]
        tensor = {"name": "x", "shape": list(self.shape), "datatype": "FP32", "data": data}
        return {"id": "1", "inputs": [tensor]}


def iris(folder: Path) -> Benched:
    """Four measures to a label and three probabilities."""
    weights = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    nodes = [
        helper.make_node("Gemm", ["x", "W"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    outputs = [("label", "INT64", []), ("probabilities", "FP32", [3])]
    return _write(folder / "iris", (1, 4), nodes, {"W": weights}, outputs)


def cnn(folder: Path) -> Benched:
    """Two convolutions over an image of 3x32x32, ten scores."""
    draw = np.random.default_rng(1).standard_normal
    weights = {
        "A": draw((8, 3, 3, 3)).astype(np.float32),
        "B": draw((16, 8, 3, 3)).astype(np.float32),
        "C": draw((16, 10)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "A"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["ar"]),
        helper.make_node("Conv", ["ar", "B"], ["b"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["b"], ["br"]),
        helper.make_node("GlobalAveragePool", ["br"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "C"], ["scores"]),
    ]
    return _write(folder / "cnn", (1, 3, 32, 32), nodes, weights, [("scores", "FP32", [10])])


def wide(folder: Path) -> Benched:
    """Three dense layers whose weights are read from memory once a run, however many rows the run has."""
    draw = np.random.default_rng(2).standard_normal
    weights = {f"W{n}": (draw((_WIDE, _WIDE)) / 45).astype(np.float32) for n in range(3)}
    weights["E"] = draw((16, _WIDE)).astype(np.float32)
    weights["C"] = draw((_WIDE, 2)).astype(np.float32)
    names = ["e", "h0", "h1", "h2"]
    nodes = [helper.make_node("MatMul", ["x", "E"], ["e"])]
    for n in range(3):
        nodes.append(helper.make_node("MatMul", [names[n], f"W{n}"], [f"m{n}"]))
        nodes.append(helper.make_node("Relu", [f"m{n}"], [names[n + 1]]))
    nodes.append(helper.make_node("MatMul", ["h2", "C"], ["scores"]))
    return _write(folder / "wide", (1, 16), nodes, weights, [("scores", "FP32", [2])])


def _write(
    folder: Path,
    shape: tuple[int, ...],
    nodes: list[Any],
    weights: dict[str, Any],
    outputs: list[tuple[str, str, list[int]]],
) -> Benched:
    """`outputs` have a name, a datatype and the sizes after the rows."""
    folder.mkdir()
    kinds = {"FP32": TensorProto.FLOAT, "INT64": TensorProto.INT64}
    taken = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape[1:]])]
    given = [helper.make_tensor_value_info(name, kinds[kind], ["N", *rest]) for name, kind, rest in outputs]
    initial = [from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, folder.name, taken, given, initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    onnx.save(model, folder / "model.onnx")
    contract = {
        "name": folder.name,
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, *shape[1:]]}],
        "outputs": [{"name": name, "datatype": kind, "shape": [-1, *rest]} for name, kind, rest in outputs],
    }
    (folder / "contract.json").write_text(json.dumps(contract))
    if len(shape) == 2:
        (folder / "reference.json").write_text(json.dumps(_reference(shape[1])))
    made = Benched(folder, "", shape)
    golden = {"request": made.request(), "response": {"outputs": _answers(made, outputs)}}
    (folder / "golden.json").write_text(json.dumps(golden))
    return Benched(folder, write_sums(folder), shape)


def _reference(features: int) -> dict[str, Any]:
    """Training data that was even between 0 and 1, in ten bins; so the statistics of a real model are kept."""
    edges = [round(0.1 * n, 1) for n in range(1, 10)]
    one = {"min": 0.0, "max": 1.0, "mean": 0.5, "std": 0.29, "quantiles": edges, "shares": [0.1] * 10}
    return {
        "rows": 1000,
        "features": [{"name": f"f{n}", "unit": "1", **one} for n in range(features)],
        "classes": {"a": 0.4, "b": 0.3, "c": 0.3},
    }


def _answers(made: Benched, outputs: list[tuple[str, str, list[int]]]) -> list[dict[str, Any]]:
    """What the graph says to the golden request, by ONNX Runtime alone."""
    session = onnxruntime.InferenceSession(made.folder / "model.onnx", providers=["CPUExecutionProvider"])
    arrays = session.run([name for name, _, _ in outputs], {"x": made.values()})
    return [
        {"name": name, "datatype": kind, "shape": list(array.shape), "data": array.ravel().tolist()}
        for (name, kind, _), array in zip(outputs, arrays, strict=True)
    ]
