"""An ONNX model in memory: checked against its contract, warmed up with its golden request."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime as ort  # type: ignore[import-untyped]
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors  # type: ignore[import-untyped]

from v2serve.artifact import ArtifactError
from v2serve.contract import TensorSpec, load_contract
from v2serve.protocol import Datatype, Refusal
from v2serve.tensors import Array

MODEL = "model.onnx"

_ONNX_TYPES: dict[str, Datatype] = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
_RUN_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.RuntimeException,
    ort_errors.NotImplemented,
    ort_errors.EPFail,
)
_LOAD_ERRORS = (*_RUN_ERRORS, ort_errors.InvalidGraph, ort_errors.InvalidProtobuf, ort_errors.NoSuchFile)

_log = logging.getLogger("v2serve")


class OnnxModel:
    """Feeds in, arrays out; knows nothing of HTTP or JSON."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.contract = load_contract(folder)
        self._session = _session(folder / MODEL, threads)
        _check_graph("inputs", self.contract.inputs, self._session.get_inputs())
        _check_graph("outputs", self.contract.outputs, self._session.get_outputs())
        self._symbols = _shared_symbols(self._session.get_inputs())

    def run(self, outputs: list[str], feeds: dict[str, Array]) -> Sequence[Array]:
        """The named outputs, in that order; Refusal 400 if the input's values are at fault, else 500."""
        if self._symbols:
            _check_symbols(self._symbols, feeds)
        try:
            arrays: Sequence[Array] = self._session.run(outputs, feeds)
        except _RUN_ERRORS as error:
            raise _refusal(error, feeds) from error
        return arrays


def _session(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # a refused request is answered, not printed by the runtime as well
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except _LOAD_ERRORS as error:
        raise ArtifactError(f"{path.name}: {_first_line(error)}") from error


def _check_graph(field: str, specs: Sequence[TensorSpec], nodes: Sequence[ort.NodeArg]) -> None:
    graph = {node.name: node for node in nodes}
    named = {spec.name for spec in specs}
    if graph.keys() != named:
        raise ArtifactError(f"contract.json: {field} {sorted(named)} differ from the graph's {sorted(graph)}")
    for spec in specs:
        node = graph[spec.name]
        if _ONNX_TYPES.get(node.type) != spec.datatype:
            raise ArtifactError(f"contract.json: {spec.name}: {spec.datatype} is not the graph's {node.type}")
        if node.shape and not _fits(spec.shape, node.shape):
            raise ArtifactError(
                f"contract.json: {spec.name}: shape {list(spec.shape)} is not the graph's {node.shape}"
            )


def _fits(shape: Sequence[int], graph: Sequence[int | str | None]) -> bool:
    """A contract may narrow a symbolic size, never change a fixed one."""
    return len(shape) == len(graph) and all(
        not isinstance(size, int) or size < 0 or size == given
        for given, size in zip(shape, graph, strict=True)
    )


Symbols = dict[str, list[tuple[str, int]]]


def _shared_symbols(nodes: Sequence[ort.NodeArg]) -> Symbols:
    """The symbolic sizes that occur more than once, and where: {"N": [("a", 0), ("b", 0)]}."""
    places: Symbols = {}
    for node in nodes:
        for axis, size in enumerate(node.shape):
            if isinstance(size, str):
                places.setdefault(size, []).append((node.name, axis))
    return {symbol: where for symbol, where in places.items() if len(where) > 1}


def _check_symbols(symbols: Symbols, feeds: Mapping[str, Array]) -> None:
    for symbol, places in symbols.items():
        sizes = {f"{name}[{axis}]": feeds[name].shape[axis] for name, axis in places}
        if len(set(sizes.values())) > 1:
            found = ", ".join(f"{place} is {size}" for place, size in sizes.items())
            raise Refusal(400, f"sizes differ where the model wants one {symbol}: {found}")


def _refusal(error: Exception, feeds: Mapping[str, Array]) -> Refusal:
    empty = next((name for name, array in feeds.items() if array.size == 0), None)
    if empty is not None:
        return Refusal(400, f"input '{empty}': the model does not take an empty tensor")
    if isinstance(error, ort_errors.InvalidArgument):
        return Refusal(400, f"the model refuses this input: {_first_line(error)}")
    _log.error("the model failed: %s", _first_line(error))
    return Refusal(500, "the model failed on this input; the server's log says more")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300]
