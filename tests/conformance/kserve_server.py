"""KServe's own Python server over a small ONNX model, to see what it does: what its guide to custom models shows."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import generate_uuid
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array

_TYPES = {"tensor(float)": "FP32", "tensor(int64)": "INT64"}


def iris() -> bytes:
    """Four measures to a label and three probabilities."""
    weights = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    nodes = [
        helper.make_node("Gemm", ["features", "W"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    taken = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 4])]
    given = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3]),
    ]
    graph = helper.make_graph(nodes, "iris", taken, given, [from_array(weights, "W")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


class Iris(Model):  # type: ignore[misc]
    """Arrays in, arrays out; KServe's classes do all of the protocol."""

    def load(self) -> bool:
        self.session = onnxruntime.InferenceSession(iris(), providers=["CPUExecutionProvider"])
        self.ready = True
        return True

    async def get_input_types(self) -> list[dict[str, Any]]:
        return [_declared(value) for value in self.session.get_inputs()]

    async def get_output_types(self) -> list[dict[str, Any]]:
        return [_declared(value) for value in self.session.get_outputs()]

    async def predict(self, payload: InferRequest, *_: Any, **__: Any) -> InferResponse:
        feeds = {tensor.name: tensor.as_numpy() for tensor in payload.inputs}
        names = [value.name for value in self.session.get_outputs()]
        asked = [output.name for output in payload.request_outputs or []] or names
        arrays = self.session.run(asked, feeds)
        outputs = [self._output(name, array) for name, array in zip(asked, arrays, strict=True)]
        return InferResponse(
            payload.id or generate_uuid(), self.name, outputs, use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )  # fmt: skip

    def _output(self, name: str, array: np.ndarray[Any, Any]) -> InferOutput:
        datatype = {"f": "FP32", "i": "INT64"}[array.dtype.kind]
        output = InferOutput(name, list(array.shape), datatype)
        output.set_data_from_numpy(array, binary_data=False)
        return output


def _declared(value: Any) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else -1 for size in value.shape]
    return {"name": value.name, "datatype": _TYPES[value.type], "shape": shape}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of REST")
    parser.add_argument("--grpc-port", type=int, required=True)
    told = parser.parse_args()
    model = Iris("iris")
    model.load()
    server = ModelServer(
        http_port=told.port, grpc_port=told.grpc_port, workers=1, enable_latency_logging=False,
        access_log_format=None,
    )  # fmt: skip
    server.start([model])


if __name__ == "__main__":
    main()
