"""The JSON of an inference request, read in one pass where the model's inputs are all of one kind."""

from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec

from v2serve.protocol import Datatype, Parameters, Refusal, RequestedOutput, Size
from v2serve.tensors import JSON_TYPES

Data = TypeVar("Data")

_ONE_PASS = 1 << 18  # bytes; a larger body is read twice, its data in pieces
_NOT_JSON = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class JsonInput(msgspec.Struct, Generic[Data], gc=False):
    """`data` is a flat list of typed values, or raw JSON; it is absent where binary data follows the JSON."""

    name: str
    shape: list[Size]
    datatype: str
    data: Data | msgspec.UnsetType = msgspec.UNSET
    parameters: Parameters | None = None


class JsonRequest(msgspec.Struct, Generic[Data], gc=False):
    inputs: list[JsonInput[Data]]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[RequestedOutput] | None = None


_raw: msgspec.json.Decoder[JsonRequest[Any]] = msgspec.json.Decoder(JsonRequest[msgspec.Raw])


def decode_request(head: bytes | memoryview, datatype: Datatype | None) -> JsonRequest[Any]:
    """The typed request; Refusal 400 with the JSON path of what is wrong.

    `datatype` is that of all inputs of the model, if they have one.
    """
    if datatype is not None and len(head) <= _ONE_PASS:
        try:
            return _flat(datatype).decode(head)
        except _NOT_JSON:  # nested or wrong: the second pass tells which
            pass
    try:
        return _raw.decode(head)
    except _NOT_JSON as error:
        raise Refusal(400, f"the body is not a V2 inference request: {error}{_hint(error)}") from None


def _hint(error: Exception) -> str:
    if "trailing characters" not in str(error):
        return ""
    return "; if binary data follows, Inference-Header-Content-Length says where the JSON ends"


@lru_cache
def _flat(datatype: Datatype) -> msgspec.json.Decoder[JsonRequest[Any]]:
    kind: Any = JSON_TYPES.get(datatype, int)
    return msgspec.json.Decoder(JsonRequest[list[kind]])
