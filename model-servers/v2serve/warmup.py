"""The golden requests: asked before the first caller asks, their answers compared with the reviewed ones."""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from v2serve.artifact import ArtifactError
from v2serve.call import Call
from v2serve.contract import Contract, RequestCheck, TensorSpec
from v2serve.protocol import Datatype, InferRequest, InputTensor, OutputTensor, Refusal
from v2serve.stop import check_stop
from v2serve.tensors import DTYPES, Array, from_json

GOLDEN = "golden.json"

_ROUNDS = 5
_PATIENCE = 2.0  # seconds after which a slow model has been asked often enough
# Other processors sum in another order; more than this is another model or another runtime.
_RELATIVE, _ABSOLUTE = 1e-3, 1e-4
_MOST_TOLERANCE = 0.1  # of a probability: what differs by more was not reviewed

Ask = Callable[[InferRequest], Sequence[OutputTensor]]


class GoldenTensor(msgspec.Struct):
    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    data: list[Any]


class GoldenResponse(msgspec.Struct):
    outputs: list[GoldenTensor]


class Golden(msgspec.Struct):
    """`tolerance`: by how much a number may differ on another processor; 8-bit graphs round to the other neighbour."""

    request: InferRequest
    response: GoldenResponse
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        """In the words of the decoder, which says where."""
        if not 0 <= self.tolerance <= _MOST_TOLERANCE:
            raise ValueError(f"tolerance is {self.tolerance:g}; give 0 to {_MOST_TOLERANCE}")


def warm_up(ask: Ask, goldens: Sequence[Golden]) -> float:
    """Ask every golden request; the slowest one's fastest answer in seconds. ArtifactError if one is another."""
    return max(_seconds(ask, golden) for golden in goldens)


def check_covered(contract: Contract, goldens: Sequence[Golden]) -> None:
    """Raise ArtifactError unless each golden request compares something, and together they compare every output."""
    if any(not golden.response.outputs for golden in goldens):
        raise ArtifactError(
            f"{GOLDEN}: a response has no outputs, so nothing is compared; give what was reviewed"
        )
    compared = {output.name for golden in goldens for output in golden.response.outputs}
    missing = next((spec.name for spec in contract.outputs if spec.name not in compared), None)
    if missing is not None:
        raise ArtifactError(f"{GOLDEN}: output {missing} is in no response; add what was reviewed of it")


def golden_call(check: RequestCheck, request: InferRequest) -> Call:
    """A golden request as a call; unlike a caller's, it may hold FP16 as JSON: nobody else reads it."""
    feeds = {spec.name: _array(spec, tensor) for spec, tensor in check.inputs(request)}
    return Call(feeds, check.outputs(request.outputs), request.id, request.parameters or {})


def golden_answer(check: RequestCheck, run: Callable[[Call], Sequence[Array]]) -> Ask:
    """What to warm up: `run`, between a golden request and its answer."""

    def ask(request: InferRequest) -> list[OutputTensor]:
        call = golden_call(check, request)
        return [_output(spec, array) for spec, array in zip(call.wanted, run(call), strict=True)]

    return ask


def _array(spec: TensorSpec, tensor: InputTensor) -> Array:
    datatype = "FP32" if spec.datatype == "FP16" else spec.datatype
    array = from_json(spec.name, datatype, tensor.shape, tensor.data)
    if datatype == "BYTES":
        texts = [text.encode() if isinstance(text, str) else text for text in array.ravel().tolist()]
        return np.array(texts, np.object_).reshape(array.shape)
    return array.astype(DTYPES[spec.datatype], copy=False)


def _output(spec: TensorSpec, array: Array) -> OutputTensor:
    values = array.ravel().tolist()
    texts = [value.decode(errors="replace") if isinstance(value, bytes) else value for value in values]
    return OutputTensor(spec.name, array.shape, spec.datatype, texts)


def load_golden(folder: Path) -> list[Golden]:
    """golden.json: one request with its answer, or a list of them."""
    try:
        content = (folder / GOLDEN).read_bytes()
        if content.lstrip()[:1] != b"[":
            return [msgspec.json.decode(content, type=Golden)]
        several = msgspec.json.decode(content, type=list[Golden])
    except OSError as error:
        raise ArtifactError(f"{GOLDEN}: {error.strerror}; an artifact has one") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{GOLDEN}: {error}") from None
    if not several:
        raise ArtifactError(f"{GOLDEN}: Expected `object` or a list of at least one, got an empty list")
    return several


def _seconds(ask: Ask, golden: Golden) -> float:
    fastest, stop = math.inf, time.perf_counter() + _PATIENCE
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        try:
            outputs = ask(golden.request)
        except Refusal as refusal:
            raise ArtifactError(f"{GOLDEN}: the model refuses its own golden request: {refusal}") from refusal
        finally:
            check_stop()  # model.py may have caught it
        end = time.perf_counter()
        fastest = min(fastest, end - begin)
        if end > stop:
            break
    _compare(golden, {output.name: output for output in outputs})
    return fastest


def _compare(golden: Golden, answered: dict[str, OutputTensor]) -> None:
    close = partial(_close, max(_ABSOLUTE, golden.tolerance))
    for reviewed in golden.response.outputs:
        name, output = reviewed.name, answered.get(reviewed.name)
        if output is None:
            raise ArtifactError(f"{GOLDEN}: output {name} is not answered; the request must ask for it")
        _same("datatype", name, reviewed.datatype, output.datatype)
        _same("shape", name, reviewed.shape, output.shape)
        values = _flat(reviewed.data)
        if len(values) != len(output.data) or not all(map(close, values, output.data)):
            raise ArtifactError(
                f"{GOLDEN}: output {name}: {str(output.data)[:120]} is not the reviewed {str(values)[:120]}"
            )


def _same(what: str, name: str, expected: object, answered: object) -> None:
    if expected != answered:
        raise ArtifactError(f"{GOLDEN}: output {name}: {what} {answered} is not the reviewed {expected}")


def _flat(data: list[Any]) -> list[Any]:
    """Rows of rows to values; where only some are rows, the rest are values that no answer equals."""
    while data and isinstance(data[0], list):
        data = [value for row in data for value in (row if isinstance(row, list) else [row])]
    return data


def _close(absolute: float, expected: object, answered: object) -> bool:
    if isinstance(answered, float):
        if expected is None:  # JSON has no NaN and no infinity
            return not math.isfinite(answered)
        return isinstance(expected, int | float) and math.isclose(
            _double(expected), answered, rel_tol=_RELATIVE, abs_tol=absolute
        )
    return expected == answered


def _double(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # an integer beyond all doubles
        return math.inf
