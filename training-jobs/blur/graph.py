"""The scorer as ONNX: `features` [batch, n] -> `blurred`, `score`, `variance_of_laplacian` [batch]."""

import numpy as np
import onnx
from model import KERNEL_WEIGHT, VARIANCE, Kernel, Scorer
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from trainkit.graph import BATCH, OPSET, normalized

FLOAT = TensorProto.FLOAT


def scorer_graph(scorer: Scorer) -> bytes:
    constants = _line(scorer) | (_kernel(scorer.kernel) if scorer.kernel is not None else {})
    nodes = [
        *_nodes(
            "Sub features mean centred; Div centred scale points; MatMul points weights line; Add line bias odds"
        ),
        *(_nodes(KERNEL_NODES) if scorer.kernel is not None else _nodes("Identity odds joined")),
        *_nodes("Sigmoid joined score; Greater score half blurred"),
        helper.make_node("Gather", ["features", "variance"], ["variance_of_laplacian"], axis=1),
    ]
    outputs = {"blurred": TensorProto.BOOL, "score": FLOAT, "variance_of_laplacian": FLOAT}
    graph = helper.make_graph(
        nodes,
        "blur",
        [helper.make_tensor_value_info("features", FLOAT, [BATCH, len(scorer.weights)])],
        [helper.make_tensor_value_info(name, kind, [BATCH]) for name, kind in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET[""])], ir_version=9)
    return bytes(normalized(model).SerializeToString(deterministic=True))


# |x - s|^2 as |x|^2 - 2 x.s + |s|^2: one product of matrices, whatever the batch.
KERNEL_NODES = (
    "ReduceSumSquare points square; MatMul points twice_supports crossed; Sub square crossed apart; "
    "Add apart supports_square distances; Mul distances minus_gamma exponents; Exp exponents nearness; "
    "MatMul nearness coefficients votes; Add votes kernel_bias margins; Mul margins kernel_weight weighed; "
    "Add odds weighed both; Mul both half joined"
)


def _line(scorer: Scorer) -> dict[str, NDArray[np.generic]]:
    found = {
        "mean": scorer.mean,
        "scale": scorer.scale,
        "weights": scorer.weights,
        "bias": scorer.bias,
        "half": 0.5,
    }
    return {name: np.asarray(value, np.float32) for name, value in found.items()} | {
        "variance": np.array(VARIANCE)
    }


def _kernel(kernel: Kernel) -> dict[str, NDArray[np.generic]]:
    found = {
        "twice_supports": 2 * kernel.support.T,
        "supports_square": np.square(kernel.support).sum(axis=1),
        "minus_gamma": -kernel.gamma,
        "coefficients": kernel.coefficients,
        "kernel_bias": kernel.bias,
        "kernel_weight": KERNEL_WEIGHT,
    }
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


def _nodes(text: str) -> list[NodeProto]:
    """`Op input... output; ...`"""
    found: list[onnx.NodeProto] = []
    for words in (part.split() for part in text.split(";")):
        more = {"axes": [1], "keepdims": 1} if words[0] == "ReduceSumSquare" else {}
        found.append(helper.make_node(words[0], words[1:-1], words[-1:], **more))
    return found
