"""The recommender as an ONNX graph: which films of the catalogue were seen -> the best of the others."""

import numpy as np
import onnx
from model import Recommender
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
LONGEST = 100  # places that a list may have


def recommender_graph(model: Recommender) -> bytes:
    """`films` [u], `history` [n, u], `seen` [n, items] -> `best`, `score` [n, longest], `personalized` [n].

    `films` are the columns that any of the n users has seen: only their rows of the weights are read, which is what
    makes one user cheap. `personalized` is whether the history says anything.
    """
    size = len(model.known.items)
    longest = min(LONGEST, size)
    constants = {
        "weights": model.weights,
        "popularity": model.popularity,
        "never": np.array(-np.inf, np.float32),
        "zero": np.array(0, np.float32),
        "prior": np.array(model.prior, np.float32),
        "longest": np.array([longest], np.int64),
        "row": np.array([1], np.int64),
    }
    graph = helper.make_graph(
        _nodes(),
        "recommender",
        [
            helper.make_tensor_value_info("films", TensorProto.INT64, ["films"]),
            helper.make_tensor_value_info("history", TensorProto.FLOAT, ["batch", "films"]),
            helper.make_tensor_value_info("seen", TensorProto.BOOL, ["batch", size]),
        ],
        [
            helper.make_tensor_value_info("best", TensorProto.INT64, ["batch", longest]),
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", longest]),
            helper.make_tensor_value_info("personalized", TensorProto.BOOL, ["batch"]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    made.producer_name = "trainkit"
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString(deterministic=True)


def _nodes() -> list[onnx.NodeProto]:
    steps = (
        ("Gather", ["weights", "films"], ["near"], {"axis": 0}),
        ("MatMul", ["history", "near"], ["taste"], {}),
        ("Abs", ["taste"], ["strength"], {}),
        ("ReduceMax", ["strength"], ["strongest"], {"axes": [1], "keepdims": 1}),
        ("Greater", ["strongest", "zero"], ["known"], {}),
        ("Squeeze", ["known", "row"], ["personalized"], {}),
        ("ReduceSum", ["history", "row"], ["count"], {"keepdims": 1}),
        ("Add", ["count", "prior"], ["length"], {}),
        ("Div", ["prior", "length"], ["fading"], {}),
        ("Mul", ["fading", "popularity"], ["common"], {}),
        ("Add", ["taste", "common"], ["likely"], {}),
        ("Where", ["seen", "never", "likely"], ["open"], {}),
        ("TopK", ["open", "longest"], ["score", "best"], {"axis": 1}),
    )
    return [helper.make_node(kind, *ends, name=ends[1][0], **more) for kind, *ends, more in steps]
