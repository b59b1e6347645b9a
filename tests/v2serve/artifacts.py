"""Small real ONNX models, exported as the artifacts that v2serve serves."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array

from v2serve.artifact import write_sums
from v2serve.protocol import Datatype

ONNX_TYPES: dict[Datatype, int] = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


@dataclass(frozen=True)
class Tensor:
    name: str
    datatype: Datatype
    shape: tuple[int | str, ...]

    def proto(self) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(self.name, ONNX_TYPES[self.datatype], self.shape)

    def spec(self) -> dict[str, Any]:
        shape = [size if isinstance(size, int) else -1 for size in self.shape]
        return {"name": self.name, "datatype": self.datatype, "shape": shape}


@dataclass(frozen=True)
class Served:
    """A model and the question that its golden file asks."""

    nodes: tuple[onnx.NodeProto, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    golden: tuple[dict[str, Any], ...]
    weights: tuple[onnx.TensorProto, ...] = ()

    def onnx(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            list(self.nodes),
            "served",
            [tensor.proto() for tensor in self.inputs],
            [tensor.proto() for tensor in self.outputs],
            list(self.weights),
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def iris(bias: float = 0.0) -> Served:
    """Four measures to a label, its name (BYTES) and three probabilities; another bias is another model."""
    weights = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    nodes = (
        helper.make_node("Gemm", ["features", "W", "B"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
        helper.make_node(
            "LabelEncoder",
            ["label"],
            ["species"],
            domain="ai.onnx.ml",
            keys_int64s=[0, 1, 2],
            values_strings=["setosa", "versicolor", "virgínica"],
        ),
    )
    return Served(
        nodes=nodes,
        inputs=(Tensor("features", "FP32", ("N", 4)),),
        outputs=(
            Tensor("label", "INT64", ("N",)),
            Tensor("species", "BYTES", ("N",)),
            Tensor("probabilities", "FP32", ("N", 3)),
        ),
        golden=({"name": "features", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]},),
        weights=(from_array(weights, "W"), from_array(np.array([0, 0, bias], np.float32), "B")),
    )


def identity(datatype: Datatype, shape: Sequence[int | str] = ("N",)) -> Served:
    """Gives back what it takes."""
    value: Any = {"BOOL": True, "BYTES": "word"}.get(datatype, 1)
    sizes = [2 if isinstance(size, str) else size for size in shape]
    data = [value] * int(np.prod(sizes))
    return Served(
        nodes=(helper.make_node("Identity", ["x"], ["y"]),),
        inputs=(Tensor("x", datatype, tuple(shape)),),
        outputs=(Tensor("y", datatype, tuple(shape)),),
        golden=({"name": "x", "datatype": datatype, "shape": sizes, "data": data},),
    )


def logarithm() -> Served:
    """A model whose answers may be NaN or infinite."""
    return replace(identity("FP32"), nodes=(helper.make_node("Log", ["x"], ["y"]),))


def total() -> Served:
    """Two inputs whose first sizes must be one N."""
    pair = tuple(Tensor(name, "FP32", ("N", 2)) for name in ("a", "b"))
    golden = tuple(
        {"name": name, "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]} for name in ("a", "b")
    )
    return Served(
        (helper.make_node("Add", ["a", "b"], ["y"]),), pair, (Tensor("y", "FP32", ("N", 2)),), golden
    )


def lookup() -> Served:
    """A row of a table by its number: a value out of range is the caller's fault, found only by running."""
    return replace(
        identity("INT64"),
        nodes=(helper.make_node("Gather", ["T", "x"], ["y"]),),
        weights=(from_array(np.arange(4, dtype=np.int64), "T"),),
    )


def write(folder: Path, served: Served, name: str = "iris") -> str:
    """The artifact in this folder; its digest."""
    folder.mkdir(parents=True, exist_ok=True)
    content = served.onnx().SerializeToString()
    (folder / "model.onnx").write_bytes(content)
    contract = {
        "name": name,
        "platform": "onnxruntime_onnx",
        "inputs": [tensor.spec() for tensor in served.inputs],
        "outputs": [tensor.spec() for tensor in served.outputs],
    }
    (folder / "contract.json").write_text(json.dumps(contract))
    golden = {"request": {"inputs": served.golden}, "response": {"outputs": _reviewed(served, content)}}
    (folder / "golden.json").write_text(json.dumps(golden))
    return write_sums(folder)


def _reviewed(served: Served, content: bytes) -> list[dict[str, Any]]:
    """What the model answers to its golden question, computed without v2serve."""
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    kinds = {
        "FP32": np.float32,
        "FP64": np.float64,
        "FP16": np.float16,
        "BYTES": np.object_,
        "BOOL": np.bool_,
    }
    feeds = {
        asked["name"]: np.array(
            asked["data"], kinds.get(asked["datatype"], asked["datatype"].lower())
        ).reshape(asked["shape"])
        for asked in served.golden
    }
    answers = session.run(None, feeds)
    return [
        {"name": t.name, "datatype": t.datatype, "shape": list(a.shape), "data": a.ravel().tolist()}
        for t, a in zip(served.outputs, answers, strict=True)
    ]
