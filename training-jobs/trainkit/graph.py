"""A scikit-learn classifier as an ONNX graph that speaks the V2 contract: our names, a free batch, stable bytes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from trainkit.golden import Datatype, Tensor

BATCH = "batch"
OPSET = {"": 17, "ai.onnx.ml": 3}
FLOAT, STRING = TensorProto.FLOAT, TensorProto.STRING
DATATYPES: dict[int, Datatype] = {FLOAT: "FP32", STRING: "BYTES"}


def classifier_graph(model: Any, width: int, name: str) -> onnx.ModelProto:
    """`features` [batch, width] -> `label` [batch], `probabilities` [batch, classes]; no zipmap."""
    from skl2onnx import convert_sklearn  # type: ignore[import-untyped]
    from skl2onnx.common.data_types import FloatTensorType  # type: ignore[import-untyped]

    graph = convert_sklearn(
        model,
        name=name,
        initial_types=[("features", FloatTensorType([None, width]))],
        options={id(model): {"zipmap": False}},
        target_opset=OPSET,
    )
    label, probabilities = (output.name for output in graph.graph.output)
    _rename(graph.graph, {label: "label", probabilities: "probabilities"})
    _set_outputs(
        graph.graph, {"label": (STRING, [BATCH]), "probabilities": (FLOAT, [BATCH, len(model.classes_)])}
    )
    return normalized(graph)


def with_probability_of(graph: onnx.ModelProto, column: int) -> onnx.ModelProto:
    """Replace `probabilities` [batch, classes] by `probability` [batch], one column of it."""
    index = helper.make_tensor("probability_column", TensorProto.INT64, [], [column])
    graph.graph.initializer.append(index)
    names = ["probabilities", "probability_column"]
    graph.graph.node.append(helper.make_node("Gather", names, ["probability"], name="Probability", axis=1))
    _set_outputs(graph.graph, {"label": (STRING, [BATCH]), "probability": (FLOAT, [BATCH])})
    return normalized(graph)


def normalized(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Without what differs from run to run or names the converter: equal models have equal bytes."""
    graph.producer_name, graph.producer_version = "trainkit", "1"
    graph.domain, graph.doc_string, graph.model_version = "", "", 1
    graph.graph.doc_string = ""
    del graph.metadata_props[:]
    # The converter keeps them in a set: without this, the hash seed of the process decides about the digest.
    opsets = sorted(graph.opset_import, key=lambda opset: opset.domain)
    del graph.opset_import[:]
    graph.opset_import.extend(opsets)
    for given in graph.graph.input:
        given.type.tensor_type.shape.dim[0].dim_param = BATCH
    for number, node in enumerate(graph.graph.node):
        node.name, node.doc_string = f"{node.op_type}_{number}", ""
        del node.metadata_props[:]
    onnx.checker.check_model(graph, full_check=True)
    return graph


def tensors(values: Any) -> tuple[Tensor, ...]:
    """Inputs or outputs of a graph as tensors of a contract; -1 is a free dimension."""
    return tuple(
        Tensor(
            value.name,
            DATATYPES[value.type.tensor_type.elem_type],
            tuple(
                dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.type.tensor_type.shape.dim
            ),
        )
        for value in values
    )


def infer(content: bytes, features: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """What ONNX Runtime answers, by output name, to a graph whose one input is `features`."""
    return run(session(content), {"features": features})


def session(content: bytes) -> Any:
    """One thread, so that sums have one order."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(opened: Any, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The answers of a session, by output name."""
    names = [output.name for output in opened.get_outputs()]
    return dict(zip(names, opened.run(names, dict(feeds)), strict=True))


def _set_outputs(graph: onnx.GraphProto, outputs: dict[str, tuple[int, list[Any]]]) -> None:
    del graph.output[:]
    graph.output.extend(helper.make_tensor_value_info(name, *shape) for name, shape in outputs.items())


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        for ends in (node.input, node.output):
            for position, end in enumerate(ends):
                ends[position] = names.get(end, end)
