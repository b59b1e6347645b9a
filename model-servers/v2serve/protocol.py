"""The messages of the Open Inference Protocol (V2) and the one way to refuse a request."""

from typing import Annotated, Any, Literal

import msgspec

Datatype = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]
Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Parameters = dict[str, str | int | float | bool]

ExtraHeaders = tuple[tuple[str, str], ...]

_SHOWN = 80  # a name in a refusal is cut here: a request must not choose how long our answer is


class Refusal(Exception):
    """The caller is told `{"error": message}` with this HTTP status and these headers."""

    def __init__(self, status: int, message: str, headers: ExtraHeaders = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class InputTensor(msgspec.Struct):
    """`data` stays raw JSON until the contract says what it must be."""

    name: str
    shape: list[Size]
    datatype: str
    data: msgspec.Raw
    parameters: Parameters | None = None


class RequestedOutput(msgspec.Struct):
    name: str
    parameters: Parameters | None = None


class InferRequest(msgspec.Struct):
    inputs: list[InputTensor]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[RequestedOutput] | None = None


class OutputTensor(msgspec.Struct):
    name: str
    shape: tuple[int, ...]
    datatype: Datatype
    data: list[Any]  # flat, row-major


class Error(msgspec.Struct):
    error: str


_encoder = msgspec.json.Encoder()


def encode(message: object) -> bytes:
    """JSON bytes; NaN and infinities become null, for JSON has none."""
    return _encoder.encode(message)


def shown(text: str) -> str:
    """Text of a caller, quoted and cut, fit for a one-line message."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def error_body(message: str) -> bytes:
    """What a refused caller reads; a message may quote a caller whose text is no Unicode."""
    return encode(Error(message.encode(errors="replace").decode()))
