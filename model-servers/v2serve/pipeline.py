"""What a model does with one call: `preprocess` of its model.py, the graph, `postprocess`."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from v2serve.artifact import ArtifactError
from v2serve.call import Call
from v2serve.code import MODEL_CODE, BadInput, Code, load_code
from v2serve.contract import CONTRACT, Contract, TensorSpec, load_contract
from v2serve.model import GraphTensor, Runtime, Session, check_graph, check_types
from v2serve.protocol import Refusal
from v2serve.stop import Stopped
from v2serve.tensors import DTYPES, Array

__all__ = ["BadInput", "Pipeline", "load_pipeline"]

_FAILED = "the model failed on this input; the server's log says more"

_log = logging.getLogger("v2serve")


class Pipeline:
    """One loaded artifact; `run` is `feeds`, `infer` and `outputs` in turn, for who does not batch."""

    def __init__(self, name: str, contract: Contract, session: Session, code: Code) -> None:
        self.contract = contract
        self.code = code
        self._name = name
        self._session = session
        self._infer = session.run
        self._plain = not code.present
        self._graph_outputs = list(session.outputs)
        self._results = {spec.name: _wanted(spec) for spec in contract.outputs}
        # Whether two calls may differ in more than the number of their rows.
        self.varied = code.preprocess is not None or any(-1 in spec.shape[1:] for spec in contract.inputs)
        self._row_inputs = [spec.name for spec in contract.inputs if spec.shape[:1] == (-1,)]

    def run(self, call: Call) -> Sequence[Array]:
        """What the call wants, in its order; Refusal 400 for the caller's fault, 500 for the model's.

        504 if it is late already: one that is decoded in a thread tells its deadline only here.
        """
        if call.deadline is not None and perf_counter() >= call.deadline:
            raise late()
        if self._plain:
            return self._infer([spec.name for spec in call.wanted], call.feeds)
        names = self.graph_outputs(call)
        arrays = self.infer(names, self.feeds(call))
        return self.outputs(call, dict(zip(names, arrays, strict=True)))

    def feeds(self, call: Call) -> dict[str, Array]:
        """What the graph takes for this call."""
        preprocess = self.code.preprocess
        if preprocess is None:
            return call.feeds
        return self._checked_feeds(
            self._asked("preprocess", preprocess, dict(call.feeds), dict(call.parameters))
        )

    def graph_outputs(self, call: Call) -> list[str]:
        """The names of the graph's outputs that this call needs."""
        if self.code.postprocess is None:
            return [spec.name for spec in call.wanted]
        return self._graph_outputs

    def infer(self, names: list[str], feeds: dict[str, Array]) -> Sequence[Array]:
        """The graph alone; what it refuses of a preprocess is not the caller's doing."""
        try:
            return self._infer(names, feeds)
        except Refusal as refusal:
            if self.code.preprocess is None or refusal.status >= 500:
                raise
            raise self._broken(f"preprocess: {refusal}") from refusal

    def outputs(self, call: Call, arrays: dict[str, Array]) -> list[Array]:
        """What the caller gets for what the graph gave."""
        postprocess = self.code.postprocess
        if postprocess is None:
            return [arrays[spec.name] for spec in call.wanted]
        copies = dict(call.feeds), dict(call.parameters)
        given = self._asked("postprocess", postprocess, dict(arrays), *copies)
        return self._checked_outputs(call, given)

    def _asked(self, name: str, function: Callable[..., object], *arguments: object) -> object:
        """Dicts among the arguments are copies: what model.py does to them is its own affair."""
        try:
            return function(*arguments)
        except (BadInput, Stopped):
            raise
        except BaseException as error:
            _log.exception("model %s: %s: %s raised", self._name, MODEL_CODE, name)
            raise Refusal(500, _FAILED) from error

    def _checked_feeds(self, given: object) -> dict[str, Array]:
        inputs = self._session.inputs
        if not isinstance(given, dict) or given.keys() != inputs.keys():
            raise self._broken(f"preprocess: got {_told(given)}, wanted a dict of {', '.join(inputs)}")
        return {name: self._fitted("preprocess", given[name], tensor) for name, tensor in inputs.items()}

    def _checked_outputs(self, call: Call, given: object) -> list[Array]:
        names = {spec.name for spec in call.wanted}
        if not isinstance(given, dict) or not names <= given.keys() <= self._results.keys():
            wanted = ", ".join(self._results)
            raise self._broken(f"postprocess: got {_told(given)}, wanted a dict of {wanted}")
        rows = {call.feeds[name].shape[0] for name in self._row_inputs if name in call.feeds}
        return [self._output(spec, given[spec.name], rows) for spec in call.wanted]

    def _output(self, spec: TensorSpec, given: object, rows: set[int]) -> Array:
        array = self._fitted("postprocess", given, self._results[spec.name])
        if spec.shape[:1] == (-1,) and len(rows) == 1 and array.shape[0] not in rows:
            asked = f"{min(rows)}, as many as the input has"
            raise self._broken(f"postprocess: {spec.name}: got {array.shape[0]} rows, wanted {asked}")
        return array

    def _fitted(self, function: str, given: object, tensor: GraphTensor) -> Array:
        array = _as_bytes(given) if tensor.datatype == "BYTES" else given
        if not isinstance(array, np.ndarray) or not _fits(array, tensor):
            wanted = f"{tensor.datatype} {_size(tensor)}"
            raise self._broken(f"{function}: {tensor.name}: got {_told(given)}, wanted {wanted}")
        return array

    def _broken(self, what: str) -> Refusal:
        _log.error("model %s: %s: %s", self._name, MODEL_CODE, what)
        return Refusal(500, _FAILED)


def load_pipeline(folder: Path, name: str, runtime: Runtime) -> Pipeline:
    """The artifact in this folder, ready to run; ArtifactError if its parts do not fit each other."""
    contract = load_contract(folder)
    session = Session(folder, runtime)
    code = load_code(folder, name)
    if code.preprocess is None:
        _check_needed(contract)
        check_graph("inputs", contract.inputs, session.inputs)
    if code.postprocess is None:
        check_graph("outputs", contract.outputs, session.outputs)
    check_types("input", session.inputs)
    check_types("output", session.outputs)
    return Pipeline(name, contract, session, code)


def _check_needed(contract: Contract) -> None:
    for tensor in contract.inputs:
        if tensor.optional:
            raise ArtifactError(
                f"{CONTRACT}: {tensor.name}: optional, but a graph takes all of its inputs;"
                f" let preprocess of {MODEL_CODE} give what is missing"
            )


def late() -> Refusal:
    return Refusal(504, "the deadline of this call has passed; ask again with more time")


def _wanted(spec: TensorSpec) -> GraphTensor:
    return GraphTensor(spec.name, spec.datatype, spec.shape, spec.datatype)


def _as_bytes(given: object) -> object:
    """Text as numpy or people write it, as the objects of `bytes` that BYTES are; anything else as it is."""
    if not isinstance(given, np.ndarray) or given.dtype.kind not in "OUS":
        return given
    items = given.ravel().tolist()
    if not all(isinstance(item, str | bytes) for item in items):
        return None
    encoded = np.empty(len(items), np.object_)
    encoded[:] = [item.encode() if isinstance(item, str) else item for item in items]
    return encoded.reshape(given.shape)


def _fits(array: Array, tensor: GraphTensor) -> bool:
    if tensor.datatype is None or array.dtype != DTYPES[tensor.datatype]:
        return False
    if tensor.shape is None:
        return True
    return array.ndim == len(tensor.shape) and all(
        not isinstance(size, int) or size < 0 or size == given
        for given, size in zip(array.shape, tensor.shape, strict=True)
    )


def _size(tensor: GraphTensor) -> object:
    if tensor.shape is None:
        return "of any shape"
    return [size if isinstance(size, int) else -1 for size in tensor.shape]


def _told(given: object) -> str:
    if isinstance(given, np.ndarray):
        return f"{given.dtype} {list(given.shape)}"
    if isinstance(given, Mapping):
        return f"a dict of {', '.join(map(str, given)) or 'nothing'}"
    return f"a {type(given).__name__}"
