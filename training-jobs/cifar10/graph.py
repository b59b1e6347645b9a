"""The network as ONNX: `image` [n,3,32,32], RGB in 0..1 -> `probabilities` [n,10]; same weights, same bytes."""

import io
import warnings

import onnx
import torch
from images import SIDE
from networks import Served
from torch import nn

OPSET = 17
KEPT = ("BatchNormalization", "Gemm", "Softmax")  # in float32: little work, and the last ones decide


def graph_of(network: nn.Module) -> bytes:
    """PyTorch's tracing exporter: it folds the normalisations into the convolutions before them."""
    served, example, content = Served(network).eval(), torch.zeros(2, 3, SIDE, SIDE), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the newer exporter needs two more packages
        torch.onnx.export(
            served,
            (example,),
            content,
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["probabilities"],
            dynamic_axes={"image": {0: "rows"}, "probabilities": {0: "rows"}},
        )
    return _anonymous(onnx.load_from_string(content.getvalue()))


def float_nodes(content: bytes) -> list[str]:
    """What stays float32 where the rest is int8: all up to the first convolution, and KEPT."""
    nodes = onnx.load_from_string(content).graph.node
    first = next(place for place, node in enumerate(nodes) if node.op_type == "Conv")
    return [node.name for place, node in enumerate(nodes) if place <= first or node.op_type in KEPT]


def _anonymous(model: onnx.ModelProto) -> bytes:
    """Without what tells of the machine: paths in the nodes' descriptions."""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    model.producer_name, model.producer_version, model.doc_string = "trainkit", "", ""
    return model.SerializeToString(deterministic=True)
