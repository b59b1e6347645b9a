"""A small writer of ONNX graphs: constants and nodes with names in the order of writing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from trainkit.graph import BATCH, normalized

OPSET = 20  # Gelu
FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING


class Network:
    """`add` returns the name of a node's answer, `constant` that of an array."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(np.asarray(value, kind)), name))
        if np.ndim(value) == 0:
            del self._constants[-1].dims[:]
        return name

    def texts(self, values: Sequence[str]) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(
            helper.make_tensor(name, STRING, [len(values)], [value.encode() for value in values])
        )
        return name

    def add(self, kind: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        answer = to or f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [answer], **attributes))
        return answer

    def split(self, given: str, parts: int) -> list[str]:
        """Equal parts of the last axis."""
        answers = [f"value_{len(self._nodes)}_{part}" for part in range(parts)]
        self._nodes.append(helper.make_node("Split", [given], answers, axis=-1, num_outputs=parts))
        return answers

    def written(self, inputs: dict[str, tuple[int, list[Any]]], outputs: dict[str, int]) -> bytes:
        """Inputs with their types and shapes; every output is [batch]."""
        graph = helper.make_graph(
            self._nodes,
            "sentiment",
            [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
            [helper.make_tensor_value_info(name, kind, [BATCH]) for name, kind in outputs.items()],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        return bytes(normalized(model).SerializeToString(deterministic=True))

    def linear(self, given: str, weights: NDArray[Any], bias: NDArray[Any], small: bool) -> str:
        """given @ weights + bias; `weights` are [in, out]; `small`: in int8."""
        product = self._small(given, weights) if small else self.add("MatMul", given, self.constant(weights))
        return self.add("Add", product, self.constant(bias))

    def _small(self, given: str, weights: NDArray[Any]) -> str:
        """One scale a column of the weights and one a piece of the text: what else is in the batch changes nothing."""
        scales = np.maximum(np.abs(weights).max(axis=0), 1e-8) / 127
        rounded = np.rint(weights / scales).astype(np.int8)
        largest = self.add("ReduceMax", self.add("Abs", given), self.constant([-1], np.int64), keepdims=1)
        scale = self.add("Mul", self.add("Max", largest, self.constant(1e-8)), self.constant(1 / 127))
        moved = self.add("Add", self.add("Round", self.add("Div", given, scale)), self.constant(128.0))
        return self._scaled(self.cast(moved, TensorProto.UINT8), rounded, scale, scales)

    def _scaled(self, whole: str, weights: NDArray[np.int8], row: str, columns: NDArray[Any]) -> str:
        zero = self.constant(128, np.uint8)
        sums = self.add("MatMulInteger", whole, self.constant(weights, np.int8), zero)
        return self.add("Mul", self.add("Mul", self.cast(sums, FLOAT), row), self.constant(columns))

    def cast(self, given: str, kind: int) -> str:
        answer = f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node("Cast", [given], [answer], to=kind))
        return answer
