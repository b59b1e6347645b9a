"""An ONNX graph in memory: loaded in one line of refusal or not at all, compared with its contract, run."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors  # type: ignore[import-untyped]

from v2serve.artifact import ArtifactError
from v2serve.contract import TensorSpec
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
    RuntimeError,
    ValueError,
)
_LOAD_ERRORS = (
    *_RUN_ERRORS,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.ModelLoadCanceled,
    OSError,
)

_log = logging.getLogger("v2serve")


class Runtime(NamedTuple):
    """How ONNX Runtime is to run the models of this process; providers in the order of preference."""

    threads: int = 1
    providers: tuple[str, ...] = ("CPUExecutionProvider",)


class GraphTensor(NamedTuple):
    """An input or output of the graph; a size is a number or a symbol, and None is silence (or a scalar)."""

    name: str
    datatype: Datatype | None
    shape: Sequence[int | str | None] | None
    type: str  # in ONNX Runtime's words


class Session:
    """Feeds in, arrays out; BYTES are objects of `bytes` on this side and `str` on ONNX Runtime's."""

    def __init__(self, folder: Path, runtime: Runtime) -> None:
        session = _session(folder / MODEL, runtime)
        self.inputs = _described(session.get_inputs())
        self.outputs = _described(session.get_outputs())
        # The run() of the Python class checks again what the contract has checked, for 2 microseconds.
        self._run = session._sess.run
        self._keep = session  # owns what _run runs
        self._symbols = _shared_symbols(self.inputs.values())
        self._texts = [tensor.name for tensor in self.inputs.values() if tensor.datatype == "BYTES"]
        self._gives_text = {tensor.name for tensor in self.outputs.values() if tensor.datatype == "BYTES"}

    def run(self, outputs: list[str], feeds: dict[str, Array]) -> Sequence[Array]:
        """The named outputs, in that order; Refusal 400 if the input's values are at fault, else 500."""
        if self._symbols:
            _check_symbols(self._symbols, feeds)
        if self._texts:
            feeds = {**feeds, **{name: _decoded(name, feeds[name]) for name in self._texts}}
        try:
            arrays: Sequence[Array] = self._run(outputs, feeds, None)
        except _RUN_ERRORS as error:
            raise _refusal(error, feeds) from error
        if self._gives_text:
            return [
                _each(_to_bytes, array) if name in self._gives_text else array
                for name, array in zip(outputs, arrays, strict=True)
            ]
        return arrays


def _session(path: Path, runtime: Runtime) -> ort.InferenceSession:
    _check_providers(runtime.providers)
    options = ort.SessionOptions()
    options.intra_op_num_threads = runtime.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # a refused request is answered, not printed by the runtime as well
    try:
        session = ort.InferenceSession(path, options, providers=list(runtime.providers), enable_fallback=0)
    except _LOAD_ERRORS as error:
        raise ArtifactError(f"{path.name}: {_first_line(error)}") from error
    if lost := [name for name in runtime.providers if name not in session.get_providers()]:
        raise ArtifactError(f"execution provider {lost[0]} does not start on this machine; choose another")
    return session


def _check_providers(names: Sequence[str]) -> None:
    available = ort.get_available_providers()
    for name in names or [""]:
        if name not in available:
            raise ArtifactError(f"execution provider {name!r} is unknown; there are {', '.join(available)}")


def _described(nodes: Sequence[ort.NodeArg]) -> dict[str, GraphTensor]:
    try:
        return {node.name: _tensor(node) for node in nodes}
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{MODEL}: a name in the graph is not UTF-8: {error}") from None


def _tensor(node: ort.NodeArg) -> GraphTensor:
    return GraphTensor(node.name, _ONNX_TYPES.get(node.type), node.shape or None, node.type)


def check_graph(field: str, specs: Sequence[TensorSpec], graph: Mapping[str, GraphTensor]) -> None:
    """Raise ArtifactError unless the contract's tensors are the graph's."""
    named = {spec.name for spec in specs}
    if graph.keys() != named:
        raise ArtifactError(f"contract.json: {field} {sorted(named)} differ from the graph's {sorted(graph)}")
    for spec in specs:
        tensor = graph[spec.name]
        if tensor.datatype != spec.datatype:
            raise ArtifactError(
                f"contract.json: {spec.name}: {spec.datatype} is not the graph's {tensor.type}"
            )
        if tensor.shape is not None and not _fits(spec.shape, tensor.shape):
            raise ArtifactError(
                f"contract.json: {spec.name}: shape {list(spec.shape)} is not the graph's {tensor.shape}"
            )


def check_types(field: str, graph: Mapping[str, GraphTensor]) -> None:
    """Raise ArtifactError for a tensor that numpy arrays of V2 datatypes cannot be; model.py meets them all."""
    for tensor in graph.values():
        if tensor.datatype is None:
            raise ArtifactError(
                f"{MODEL}: {field} {tensor.name} is a {tensor.type}, which is no V2 datatype; export it as a tensor"
            )


def _fits(shape: Sequence[int], graph: Sequence[int | str | None]) -> bool:
    """A contract may narrow a symbolic size, never change a fixed one."""
    return len(shape) == len(graph) and all(
        not isinstance(size, int) or size < 0 or size == given
        for given, size in zip(shape, graph, strict=True)
    )


Symbols = dict[str, list[tuple[str, int]]]


def _shared_symbols(tensors: Iterable[GraphTensor]) -> Symbols:
    """The symbolic sizes that occur more than once, and where: {"N": [("a", 0), ("b", 0)]}."""
    places: Symbols = {}
    for tensor in tensors:
        for axis, size in enumerate(tensor.shape or ()):
            if isinstance(size, str):
                places.setdefault(size, []).append((tensor.name, axis))
    return {symbol: where for symbol, where in places.items() if len(where) > 1}


def _check_symbols(symbols: Symbols, feeds: Mapping[str, Array]) -> None:
    for symbol, places in symbols.items():
        sizes = {f"{name}[{axis}]": feeds[name].shape[axis] for name, axis in places}
        if len(set(sizes.values())) > 1:
            found = ", ".join(f"{place} is {size}" for place, size in sizes.items())
            raise Refusal(400, f"sizes differ where the model wants one {symbol}: {found}")


def _decoded(name: str, array: Array) -> Array:
    """The same strings as `str`: what ONNX Runtime makes of `bytes` is their repr."""
    try:
        return _each(_to_text, array)
    except UnicodeDecodeError as error:
        raise Refusal(400, f"input '{name}': the model takes UTF-8 text; a value has {error}") from None


def _each(function: np.ufunc, array: Array) -> Array:
    return np.asarray(function(array), np.object_).reshape(array.shape)  # of one value it makes a scalar


_to_text = np.frompyfunc(lambda item: item.decode() if isinstance(item, bytes) else item, 1, 1)
_to_bytes = np.frompyfunc(str.encode, 1, 1)


def _refusal(error: Exception, feeds: Mapping[str, Array]) -> Refusal:
    empty = next((name for name, array in feeds.items() if array.size == 0), None)
    if empty is not None:
        return Refusal(400, f"input '{empty}': the model does not take an empty tensor")
    if isinstance(error, ort_errors.InvalidArgument):
        return Refusal(400, f"the model refuses this input: {_first_line(error)}")
    _log.error("the model failed: %s", _first_line(error))
    return Refusal(500, "the model failed on this input; the server's log says more")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
