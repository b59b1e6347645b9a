"""Artifacts of every kind that a lane or a pipeline treats in its own way, made from a few lines each."""

import json
from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.numpy_helper import from_array

from tests.v2serve.artifacts import Served as Graph
from tests.v2serve.artifacts import Tensor, identity
from tests.v2serve.artifacts import write as write_plain
from v2serve.artifact import write_sums
from v2serve.call import Call
from v2serve.lanes import LaneLimits
from v2serve.model import Runtime
from v2serve.protocol import Datatype
from v2serve.released import ModelRelease, Served, load
from v2serve.tensors import DTYPES, Array

Spec = dict[str, Any]

TEXT_CODE = '''
"""Words to counts of the vocabulary, scores to the name of the best label."""
import json

import numpy as np

from v2serve.pipeline import BadInput

_words = {}
_labels = []


def load(folder):
    vocabulary = json.loads((folder / "vocabulary.json").read_text())
    _words.update({word: column for column, word in enumerate(vocabulary["words"])})
    _labels.extend(vocabulary["labels"])


def preprocess(inputs, parameters):
    counts = np.zeros((len(inputs["text"]), len(_words)), np.float32)
    for row, text in enumerate(inputs["text"]):
        if not text:
            raise BadInput("input 'text': an empty text has no label")
        for word in text.decode().split():
            if word in _words:
                counts[row, _words[word]] += 1
    return {"counts": counts}


def postprocess(outputs, inputs, parameters):
    best = outputs["scores"].argmax(axis=1)
    return {"label": np.array([_labels[index] for index in best], object)}
'''

TOP_CODE = '''
"""Pixels to [0, 1], scores to the best k classes, k as the request's parameter says."""
import numpy as np

from v2serve.pipeline import BadInput


def preprocess(inputs, parameters):
    return {"pixels": inputs["image"].astype(np.float32) / 255}


def postprocess(outputs, inputs, parameters):
    k = parameters.get("k", 3)
    scores = outputs["scores"]
    if not 1 <= k <= scores.shape[1]:
        raise BadInput(f"parameter k: {k}; give 1 to {scores.shape[1]}")
    classes = np.argsort(-scores, axis=1)[:, :k]
    return {"classes": classes, "scores": np.take_along_axis(scores, classes, axis=1)}
'''


SLOW_CODE = '''
"""As slow as the request's parameter says, in seconds."""
import time


def preprocess(inputs, parameters):
    time.sleep(parameters.get("seconds", 0))
    return inputs
'''


def spec(name: str, datatype: Datatype, *shape: int) -> Spec:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def asked(name: str, datatype: Datatype, shape: list[int], data: list[Any]) -> Spec:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def write_coded(
    folder: Path,
    graph: onnx.ModelProto,
    code: str,
    contract: tuple[list[Spec], list[Spec]],
    golden: list[tuple[list[Spec], list[Spec]]],
) -> str:
    """An artifact with a model.py; its digest."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    (folder / "model.py").write_text(code)
    inputs, outputs = contract
    document = {"name": "coded", "platform": "onnxruntime_onnx", "inputs": inputs, "outputs": outputs}
    (folder / "contract.json").write_text(json.dumps(document))
    pairs = [{"request": {"inputs": ask}, "response": {"outputs": answer}} for ask, answer in golden]
    (folder / "golden.json").write_text(json.dumps(pairs if len(pairs) > 1 else pairs[0]))
    return write_sums(folder)


def text_model(folder: Path) -> str:
    """Texts (BYTES) to labels (BYTES): counts of three words, and a linear layer."""
    weights = np.array([[1, 0], [0, 1], [0.1, 0.1]], np.float32)
    graph = Graph(
        (helper.make_node("MatMul", ["counts", "W"], ["scores"]),),
        (Tensor("counts", "FP32", ("N", 3)),),
        (Tensor("scores", "FP32", ("N", 2)),),
        (),
        (from_array(weights, "W"),),
    )
    folder.mkdir(parents=True, exist_ok=True)
    words = {"words": ["good", "bad", "the"], "labels": ["praise", "reproach"]}
    (folder / "vocabulary.json").write_text(json.dumps(words))
    return write_coded(
        folder,
        graph.onnx(),
        TEXT_CODE,
        ([spec("text", "BYTES", -1)], [spec("label", "BYTES", -1)]),
        [
            (
                [asked("text", "BYTES", [2], ["the good one", "bad bad"])],
                [asked("label", "BYTES", [2], ["praise", "reproach"])],
            ),
            ([asked("text", "BYTES", [1], ["bad"])], [asked("label", "BYTES", [1], ["reproach"])]),
        ],
    )


def top_model(folder: Path) -> str:
    """Images of 2x2 UINT8 pixels to the best of five classes."""
    weights = np.zeros((4, 5), np.float32)
    weights[0] = [1, 2, 3, 4, 5]
    graph = Graph(
        (
            helper.make_node("Flatten", ["pixels"], ["flat"], axis=1),
            helper.make_node("MatMul", ["flat", "W"], ["scores"]),
        ),
        (Tensor("pixels", "FP32", ("N", 2, 2)),),
        (Tensor("scores", "FP32", ("N", 5)),),
        (),
        (from_array(weights, "W"),),
    )
    outputs = [spec("classes", "INT64", -1, -1), spec("scores", "FP32", -1, -1)]
    answer = [
        asked("classes", "INT64", [1, 3], [4, 3, 2]),
        asked("scores", "FP32", [1, 3], [5.0, 4.0, 3.0]),
    ]
    golden = [([asked("image", "UINT8", [1, 2, 2], [255, 0, 0, 0])], answer)]
    return write_coded(folder, graph.onnx(), TOP_CODE, ([spec("image", "UINT8", -1, 2, 2)], outputs), golden)


def passing(folder: Path, code: str, datatype: Datatype = "FP32", shape: tuple[int, ...] = (-1,)) -> str:
    """y = x with this model.py around it."""
    sizes = [2 if size < 0 else size for size in shape]
    symbols = [f"d{axis}" if size < 0 else size for axis, size in enumerate(shape)]
    data = ["a" if datatype == "BYTES" else 1] * int(np.prod(sizes))
    return write_coded(
        folder,
        identity(datatype, symbols).onnx(),
        code,
        ([spec("x", datatype, *shape)], [spec("y", datatype, *shape)]),
        [([asked("x", datatype, sizes, data)], [asked("y", datatype, sizes, data)])],
    )


def slow_model(folder: Path) -> str:
    """y = x after as many seconds as the parameter `seconds` says."""
    return passing(folder, SLOW_CODE)


def wide(width: int = 64, layers: int = 2) -> Graph:
    """A perceptron; of width 2048 with 3 layers, a row waits for 50 MB of weights, and so do 16 rows together."""
    generator = np.random.default_rng(0)
    scale = (2 / width) ** 0.5
    nodes: list[onnx.NodeProto] = []
    weights = []
    name = "x"
    for layer in range(layers):
        weights.append(from_array(generator.normal(0, scale, (width, width)).astype(np.float32), f"W{layer}"))
        nodes.append(helper.make_node("MatMul", [name, f"W{layer}"], [f"h{layer}"]))
        name = "y" if layer == layers - 1 else f"r{layer}"
        nodes.append(helper.make_node("Relu", [f"h{layer}"], [name]))
    nodes.append(helper.make_node("ReduceSum", ["y", "one"], ["total"], keepdims=0))
    weights.append(from_array(np.array([1], np.int64), "one"))
    return Graph(
        tuple(nodes),
        (Tensor("x", "FP32", ("N", width)),),
        (Tensor("y", "FP32", ("N", width)), Tensor("total", "FP32", ("N",))),
        (asked("x", "FP32", [1, width], np.linspace(-1, 1, width).round(3).tolist()),),
        tuple(weights),
    )


def mixing() -> Graph:
    """Each row's answer depends on the other rows: not to be batched."""
    return replace(identity("FP32", ("N", 2)), nodes=(helper.make_node("Softmax", ["x"], ["y"], axis=0),))


def write_graph(folder: Path, graph: Graph) -> str:
    return write_plain(folder, graph)


def loaded(folder: Path, digest: str, limits: LaneLimits = LaneLimits(), name: str = "m") -> Served:  # noqa: B008
    return load(ModelRelease(name, "4", digest, None, folder), limits, Runtime())


def call(served: Served, values: Mapping[str, Any], *wanted: str, **parameters: Any) -> Call:
    """A call with these values; all outputs unless some are named."""
    types = {tensor.name: DTYPES[tensor.datatype] for tensor in served.contract.inputs}
    feeds = {name: np.array(value, types[name]) for name, value in values.items()}
    specs = [spec for spec in served.contract.outputs if not wanted or spec.name in wanted]
    return Call(feeds, specs, parameters=parameters)


def at_once(served: Served, asked: Call) -> list[Array]:
    """The answer of an inline lane."""
    answer = served.infer(asked)
    assert not isinstance(answer, Future)
    return list(answer)


def later(served: Served, asked: Call) -> "Future[Sequence[Array]]":
    """The answer that another lane promises."""
    answer = served.infer(asked)
    assert isinstance(answer, Future)
    return answer
