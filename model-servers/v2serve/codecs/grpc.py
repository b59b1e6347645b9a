"""V2's gRPC inference, a ModelInferRequest to a call and arrays to a ModelInferResponse, raw or typed.

Source: the Open Inference Protocol's `inference_grpc`. Raw contents are given for all tensors or for none; an answer is
as its request was, but raw where an output is FP16, for which there are no typed contents.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from v2serve.call import Call
from v2serve.codecs.limits import (
    DEFAULT_LIMITS,
    NO_PARAMETERS,
    TensorLimits,
    check_count,
    check_elements,
    check_id,
    check_parameters,
    check_shape,
    check_texts,
    check_wish,
)
from v2serve.codecs.open_inference import message_class, parse
from v2serve.codecs.raw import from_raw, object_array, to_raw
from v2serve.codecs.release import ReleaseName, new_id
from v2serve.contract import RequestCheck, TensorSpec
from v2serve.protocol import Datatype, Refusal
from v2serve.tensors import Array, packed

InferRequest = message_class("inference.ModelInferRequest")
InferResponse = message_class("inference.ModelInferResponse")
_Contents = message_class("inference.InferTensorContents")

_FIELDS: dict[Datatype, str] = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_RAW_TAG = b"\x32"  # field 6, raw_output_contents, length-delimited


class _Asked(NamedTuple):
    """What RequestCheck looks at; the sizes as a list, for protobuf's own are slow to read."""

    inputs: list["_Input"]


class _Input(NamedTuple):
    name: str
    datatype: str
    shape: list[int]
    message: Any


@dataclass(slots=True)
class GrpcCall(Call):
    """A call whose answer holds raw contents, or typed ones."""

    raw: bool = True


def parse_request(message: bytes) -> Any:
    """The ModelInferRequest, whose model_name and model_version say which check it needs; Refusal 400."""
    return parse(InferRequest, message)


def decode(request: Any, check: RequestCheck, limits: TensorLimits = DEFAULT_LIMITS) -> GrpcCall:
    """The call in a ModelInferRequest; Refusal 400 or 413."""
    check_id(request.id, limits)
    asked = request.outputs
    check_count("inputs", len(request.inputs), limits)
    check_count("outputs", len(asked), limits)
    if asked:
        _check_asked(asked, limits)
    wanted = check.outputs(asked)
    raws = request.raw_input_contents
    inputs = [_Input(t.name, t.datatype, list(t.shape), t) for t in request.inputs]
    pairs = check.inputs(_Asked(inputs))
    if raws and len(raws) != len(inputs):
        raise Refusal(
            400,
            f"raw_input_contents holds {len(raws)} tensors, the request has {len(inputs)} inputs;"
            " give one for each input, or none",
        )
    feeds = _feeds(pairs, raws, limits)
    parameters = _parameters("the request", request.parameters, limits)
    raw = bool(raws) or any(spec.datatype == "FP16" for spec in wanted)
    return GrpcCall(feeds, wanted, request.id or None, parameters, None, raw)


def _check_asked(asked: Sequence[Any], limits: TensorLimits) -> None:
    for output in asked:
        if output.parameters:
            owner = f"output '{output.name}'"
            check_wish(owner, _parameters(owner, output.parameters, limits))


def _feeds(
    pairs: list[tuple[TensorSpec, _Input]], raws: Sequence[bytes], limits: TensorLimits
) -> dict[str, Array]:
    feeds, elements = {}, 0
    for index, (spec, tensor) in enumerate(pairs):
        name, shape = spec.name, tensor.shape
        if min(shape, default=0) < 0:  # the contract's -1 lets it through
            raise Refusal(400, f"input '{name}': shape {shape} has a negative size; give the real one")
        check_shape(name, shape, limits)
        if tensor.message.parameters:
            _parameters(f"input '{name}'", tensor.message.parameters, limits)
        if raws:
            _check_one_way(name, tensor.message)
            raw = raws[index]
            array = from_raw(name, spec.datatype, shape, raw, 0, len(raw), limits)
        else:
            array = _from_typed(spec, shape, tensor.message.contents, limits)
        elements += array.size
        check_elements(name, elements, limits)
        feeds[name] = array
    return feeds


def _check_one_way(name: str, message: Any) -> None:
    if message.HasField("contents") and message.contents.ListFields():
        raise Refusal(400, f"input '{name}': both contents and raw_input_contents are given; give one")


def _from_typed(spec: TensorSpec, shape: list[int], contents: Any, limits: TensorLimits) -> Array:
    name, datatype = spec.name, spec.datatype
    field = _FIELDS.get(datatype)
    if field is None:
        raise Refusal(400, f"input '{name}': {datatype} has no typed contents; send raw_input_contents")
    given = [found.name for found, _ in contents.ListFields()]
    if given not in ([], [field]):
        raise Refusal(400, f"input '{name}': {datatype} goes into {field}, but {', '.join(given)} is given")
    values, needs = getattr(contents, field), math.prod(shape)
    if len(values) != needs:
        raise Refusal(400, f"input '{name}': shape {shape} needs {needs} values, {field} holds {len(values)}")
    if datatype == "BYTES":
        texts = list(values)
        check_texts(name, texts, limits)
        return object_array(texts, shape)
    try:
        return packed(datatype, values).reshape(shape)
    except struct.error as error:
        raise Refusal(400, f"input '{name}': data is not {datatype}: {error}") from None


def _parameters(owner: str, given: Any, limits: TensorLimits) -> Mapping[str, str | int | float | bool]:
    if not given:
        return NO_PARAMETERS
    parameters = {}
    for key, parameter in given.items():
        kind = parameter.WhichOneof("parameter_choice")
        if kind is None:
            raise Refusal(400, f"{owner}: parameter '{key[:80]}' has no value; give one or leave it out")
        parameters[key] = getattr(parameter, kind)
    check_parameters(owner, parameters, limits)
    return parameters


def encode(call: GrpcCall, arrays: Sequence[Array], release: ReleaseName) -> bytes:
    """The bytes of a ModelInferResponse: parts one after the other, for so protobuf merges messages."""
    parts: list[Any] = [_head(release), _with_id(new_id() if call.id is None else call.id)]
    for spec, array in zip(call.wanted, arrays, strict=True):
        parts.append(_opening(spec, array.shape) if call.raw else _typed(spec, array))
    if call.raw:
        for spec, array in zip(call.wanted, arrays, strict=True):
            raw = to_raw(spec.datatype, array)
            parts += (_RAW_TAG, _varint(len(raw)), raw)
    return b"".join(parts)


@lru_cache(maxsize=256)
def _head(release: ReleaseName) -> bytes:
    return _serialized(model_name=release.name, model_version=release.version or "")


def _with_id(identifier: str) -> bytes:
    octets = identifier.encode()
    return b"\x1a" + _varint(len(octets)) + octets  # field 3


@lru_cache(maxsize=1024)
def _opening(spec: TensorSpec, shape: tuple[int, ...]) -> bytes:
    return _serialized(outputs=[{"name": spec.name, "datatype": spec.datatype, "shape": shape}])


def _typed(spec: TensorSpec, array: Array) -> bytes:
    values = array.ravel().tolist()
    if spec.datatype == "BYTES":
        values = [text.encode() if isinstance(text, str) else text for text in values]
    contents = _Contents(**{_FIELDS[spec.datatype]: values})
    output = {"name": spec.name, "datatype": spec.datatype, "shape": array.shape, "contents": contents}
    return _serialized(outputs=[output])


def _serialized(**fields: Any) -> bytes:
    octets: bytes = InferResponse(**fields).SerializeToString()
    return octets


def _varint(number: int) -> bytes:
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)
