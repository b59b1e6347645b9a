"""V2's REST inference, bytes to a call and arrays to bytes: JSON, and binary tensor data behind it.

Source: the Open Inference Protocol's `rest_predict_v2` and its binary tensor data extension. BYTES elements are
`bytes` objects in a call's feeds; an answer's may be `bytes` or `str`.
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

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
from v2serve.codecs.messages import JsonInput, JsonRequest, decode_request
from v2serve.codecs.raw import from_raw, object_array, to_raw
from v2serve.codecs.release import ReleaseName, new_id
from v2serve.contract import RequestCheck, TensorSpec
from v2serve.protocol import Refusal, RequestedOutput, shown
from v2serve.tensors import BAD_DATA, Array, from_json, packed

HEADER = "inference-header-content-length"

_encode = msgspec.json.Encoder().encode
_NONE: frozenset[str] = frozenset()
_PIECE = 1 << 15  # values: more as Python objects at a time, 32 bytes each, need too much memory
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_REMEDY = "ask for it as binary data (parameter binary_data)"


@dataclass(slots=True)
class RestCall(Call):
    """A call whose answer holds these outputs as binary data, the others as JSON."""

    binary: Collection[str] = _NONE


def decode(
    body: bytes, header_length: str | None, check: RequestCheck, limits: TensorLimits = DEFAULT_LIMITS
) -> RestCall:
    """The call in a body whose JSON is as long as the header says, or all of it; Refusal 400 or 413."""
    if header_length is None:
        start, request = len(body), decode_request(body, check.datatype)
    else:
        start = _json_length(header_length, len(body))
        request = decode_request(memoryview(body)[:start], check.datatype)
    check_id(request.id, limits)
    check_count("inputs", len(request.inputs), limits)
    check_count("outputs", len(request.outputs or ()), limits)
    wanted = check.outputs(request.outputs)
    binary = _binary(request, wanted, limits)
    feeds = _feeds(check.inputs(request), body, start, limits)
    return RestCall(feeds, wanted, request.id, request.parameters or NO_PARAMETERS, None, binary)


def _json_length(header: str, available: int) -> int:
    if not _LENGTH.fullmatch(header):
        raise Refusal(
            400, f"Inference-Header-Content-Length {shown(header)} is not a number of bytes; send digits"
        )
    length = int(header)
    if length > available:
        raise Refusal(
            400,
            f"Inference-Header-Content-Length is {length}, the body has {available} bytes; send all of it",
        )
    return length


def _feeds(
    pairs: list[tuple[TensorSpec, JsonInput[Any]]], body: bytes, at: int, limits: TensorLimits
) -> dict[str, Array]:
    """`at` is where the binary data begins: one input's bytes after the other's, in the order of the inputs."""
    feeds, elements = {}, 0
    for spec, tensor in pairs:
        name = spec.name
        check_shape(name, tensor.shape, limits)
        size = None
        if tensor.parameters is not None:
            check_parameters(f"input '{name}'", tensor.parameters, limits)
            size = _binary_size(tensor, len(body) - at)
        if size is None:
            array = _from_json(spec, tensor, limits)
        else:
            array = from_raw(name, spec.datatype, tensor.shape, body, at, size, limits)
            at += size
        elements += array.size
        check_elements(name, elements, limits)
        feeds[name] = array
    if at != len(body):
        raise Refusal(
            400, f"{len(body) - at} bytes follow the last input's data; binary_data_size must add up"
        )
    return feeds


def _binary_size(tensor: JsonInput[Any], left: int) -> int | None:
    """How many bytes behind the JSON are this input's; None: its data is in the JSON."""
    size = tensor.parameters.get("binary_data_size") if tensor.parameters else None
    if size is None:
        return None
    name = tensor.name
    if tensor.data is not msgspec.UNSET:
        raise Refusal(400, f"input '{name}': both data and binary_data_size are given; give one")
    if type(size) is not int or size < 0:
        given = shown(str(size))
        raise Refusal(
            400, f"input '{name}': binary_data_size {given} is not a number of bytes; give an integer"
        )
    if size > left:
        raise Refusal(
            400,
            f"input '{name}': binary_data_size is {size}, {left} bytes are left behind the JSON; send all of it"
            " and say in Inference-Header-Content-Length where the JSON ends",
        )
    return size


def _from_json(spec: TensorSpec, tensor: JsonInput[Any], limits: TensorLimits) -> Array:
    name, datatype, data = spec.name, spec.datatype, tensor.data
    if data is msgspec.UNSET:
        raise Refusal(
            400,
            f"input '{name}': neither data nor parameter binary_data_size is given; the object is missing"
            " required field `data`",
        )
    if datatype == "FP16":
        raise Refusal(400, f"input '{name}': FP16 data cannot be sent as JSON; send it as binary data")
    if isinstance(data, msgspec.Raw):
        array = from_json(name, datatype, tensor.shape, data)
        return _texts(name, array, limits) if datatype == "BYTES" else array
    return _shaped(spec, tensor.shape, data, limits)


def _shaped(spec: TensorSpec, shape: list[int], data: list[Any], limits: TensorLimits) -> Array:
    """The array of a flat list whose values are typed already."""
    name, datatype = spec.name, spec.datatype
    needs = math.prod(shape)
    if needs != len(data):
        raise Refusal(400, f"input '{name}': shape {shape} needs {needs} values, data holds {len(data)}")
    try:
        array = packed(datatype, data)
    except BAD_DATA as error:
        raise Refusal(400, f"input '{name}': data is not {datatype}: {error}") from None
    array = array.reshape(shape)
    return _texts(name, array, limits) if datatype == "BYTES" else array


def _texts(name: str, array: Array, limits: TensorLimits) -> Array:
    texts = [text.encode() for text in array.ravel().tolist()]
    check_texts(name, texts, limits)
    return object_array(texts, array.shape)


def _binary(request: JsonRequest[Any], wanted: list[TensorSpec], limits: TensorLimits) -> Collection[str]:
    """The outputs to answer as binary data: an output's own wish counts before the request's."""
    everything = False
    if request.parameters:
        check_parameters("the request", request.parameters, limits)
        everything = _flag(request.parameters, "binary_data_output", "the request")
    binary: Collection[str] = [spec.name for spec in wanted] if everything else _NONE
    if request.outputs:
        binary = [output.name for output in request.outputs if _wish(output, everything, limits)]
    for spec in wanted:
        if spec.datatype == "FP16" and spec.name not in binary:
            raise Refusal(400, f"output '{spec.name}': FP16 data cannot be sent as JSON; {_REMEDY}")
    return binary


def _wish(output: RequestedOutput, everything: bool, limits: TensorLimits) -> bool:
    if not output.parameters:
        return everything
    owner = f"output '{output.name}'"
    check_parameters(owner, output.parameters, limits)
    check_wish(owner, output.parameters)
    return _flag(output.parameters, "binary_data", owner, everything)


def _flag(parameters: Mapping[str, Any], key: str, owner: str, otherwise: bool = False) -> bool:
    value = parameters.get(key, otherwise)
    if not isinstance(value, bool):
        raise Refusal(400, f"{owner}: parameter {key} is {shown(str(value))}; give true or false")
    return value


def encode(
    call: RestCall, arrays: Sequence[Array], release: ReleaseName
) -> tuple[bytes | bytearray, int | None]:
    """The body, and the length of its JSON if binary data follows (for Inference-Header-Content-Length).

    NaN and infinities become null, for JSON has none; float32 keeps its exact value.
    """
    text = bytearray(_prefix(release))
    text += b'"%s"' % new_id().encode() if call.id is None else _encode(call.id)
    text += b',"outputs":['
    raws = []
    for spec, array in zip(call.wanted, arrays, strict=True):
        text += _opening(spec, array.shape)
        if spec.name in call.binary:
            raw = to_raw(spec.datatype, array)
            text += b',"parameters":{"binary_data_size":%d}},' % len(raw)
            raws.append(raw)
        else:
            text += b',"data":'
            _append(text, spec, array)
            text += b"},"
    text[-1:] = b"]}"
    if not raws:
        return text, None
    return b"".join((text, *raws)), len(text)


@lru_cache(maxsize=256)
def _prefix(release: ReleaseName) -> bytes:
    told = {"model_name": release.name}
    if release.version is not None:
        told["model_version"] = release.version
    return _encode(told)[:-1] + b',"id":'


@lru_cache(maxsize=1024)
def _opening(spec: TensorSpec, shape: tuple[int, ...]) -> bytes:
    return _encode({"name": spec.name, "datatype": spec.datatype, "shape": shape})[:-1]


def _append(text: bytearray, spec: TensorSpec, array: Array) -> None:
    """Large data piece by piece."""
    if array.size <= _PIECE:
        text += _encode(_values(spec, array))
        return
    values = array.ravel()
    text += b"["
    for start in range(0, len(values), _PIECE):
        text += _encode(_values(spec, values[start : start + _PIECE]))[1:-1] + b","
    text[-1:] = b"]"


def _values(spec: TensorSpec, array: Array) -> list[Any]:
    values: list[Any] = array.ravel().tolist()
    return _decoded(spec.name, values) if spec.datatype == "BYTES" else values


def _decoded(name: str, texts: list[str | bytes]) -> list[str]:
    try:
        return [text if isinstance(text, str) else text.decode() for text in texts]
    except UnicodeDecodeError:
        raise Refusal(
            400, f"output '{name}': an element is not UTF-8, so it cannot be sent as JSON; {_REMEDY}"
        ) from None
