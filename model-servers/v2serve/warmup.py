"""The golden request: asked before the first caller asks, its answer compared with the one that was reviewed."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from v2serve.artifact import ArtifactError
from v2serve.inference import Inference
from v2serve.protocol import Datatype, InferRequest, OutputTensor, Refusal

GOLDEN = "golden.json"

_ROUNDS = 5
# Other processors sum in another order; more than this is another model or another runtime.
_RELATIVE, _ABSOLUTE = 1e-3, 1e-4


class _GoldenTensor(msgspec.Struct):
    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    data: list[Any]


class _GoldenResponse(msgspec.Struct):
    outputs: list[_GoldenTensor]


class _Golden(msgspec.Struct):
    request: InferRequest
    response: _GoldenResponse


def warm_up(inference: Inference, folder: Path) -> float:
    """Ask the golden request; return the fastest answer in seconds. Raises ArtifactError if it is another."""
    golden = _load(folder)
    fastest = math.inf
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        try:
            outputs = inference.answer(golden.request).outputs
        except Refusal as refusal:
            raise ArtifactError(f"{GOLDEN}: the model refuses its own golden request: {refusal}") from refusal
        fastest = min(fastest, time.perf_counter() - begin)
    _compare(golden.response.outputs, {output.name: output for output in outputs})
    return fastest


def _load(folder: Path) -> _Golden:
    try:
        return msgspec.json.decode((folder / GOLDEN).read_bytes(), type=_Golden)
    except OSError as error:
        raise ArtifactError(f"{GOLDEN}: {error.strerror}; an artifact has one") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{GOLDEN}: {error}") from None


def _compare(expected: Sequence[_GoldenTensor], answered: dict[str, OutputTensor]) -> None:
    for golden in expected:
        output = answered.get(golden.name)
        if output is None:
            raise ArtifactError(
                f"{GOLDEN}: output {golden.name} is not answered; the request must ask for it"
            )
        _same("datatype", golden.name, golden.datatype, output.datatype)
        _same("shape", golden.name, golden.shape, output.shape)
        values = _flat(golden.data)
        if len(values) != len(output.data) or not all(map(_close, values, output.data)):
            raise ArtifactError(
                f"{GOLDEN}: output {golden.name}: {str(output.data)[:120]} is not the reviewed {str(values)[:120]}"
            )


def _same(what: str, name: str, expected: object, answered: object) -> None:
    if expected != answered:
        raise ArtifactError(f"{GOLDEN}: output {name}: {what} {answered} is not the reviewed {expected}")


def _flat(data: list[Any]) -> list[Any]:
    while data and isinstance(data[0], list):
        data = [value for row in data for value in row]
    return data


def _close(expected: object, answered: object) -> bool:
    if isinstance(answered, float):
        if expected is None:  # JSON has no NaN and no infinity
            return not math.isfinite(answered)
        return isinstance(expected, int | float) and math.isclose(
            expected, answered, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE
        )
    return expected == answered
