"""JSON tensor data to numpy arrays and back, strictly: no value is wrapped, rounded to an integer or made up."""

import contextlib
import itertools
import math
import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from v2serve.protocol import Datatype, Refusal

Array = npt.NDArray[Any]

DTYPES: dict[Datatype, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}

# The largest double that rounds to a finite float32; one more would silently become infinity.
_FP32_LIMIT = 3.4028235677973362e38
_Float32 = Annotated[float, msgspec.Meta(ge=-_FP32_LIMIT, le=_FP32_LIMIT)]
JSON_TYPES: dict[str, Any] = {"BOOL": bool, "BYTES": str, "FP32": _Float32, "FP64": float}
BAD_DATA = (msgspec.DecodeError, RecursionError, UnicodeError, OverflowError, struct.error)
_PIECE = 1 << 18  # bytes of JSON
_NESTED = re.compile(rb"\s*\[\s*\[")


def from_json(name: str, datatype: Datatype, shape: list[int], data: msgspec.Raw) -> Array:
    """The array of this shape; 400 names the input if a value, the count or the nesting does not fit."""
    if datatype == "FP16":
        raise Refusal(400, f"input '{name}': FP16 data cannot be sent as JSON; use a model that takes FP32")
    try:
        values = _flat(datatype, data)
        if len(values) != math.prod(shape):
            needs = math.prod(shape)
            raise Refusal(
                400, f"input '{name}': shape {shape} needs {needs} values, data holds {len(values)}"
            )
        return values.reshape(shape)
    except BAD_DATA as error:
        if len(shape) > 1 and _NESTED.match(data):
            return _from_nested(name, datatype, shape, data)
        raise Refusal(400, f"input '{name}': data is not {datatype}: {error}") from None


def _flat(datatype: Datatype, data: msgspec.Raw) -> Array:
    """Large data in pieces: other threads run between them, and few values are Python objects at a time."""
    decoder = _decoder(datatype, 1)
    if datatype != "BYTES" and len(memoryview(data)) > _PIECE:  # a string may hold commas
        with contextlib.suppress(msgspec.DecodeError):  # nested, or wrong: only the whole says where
            return np.concatenate([packed(datatype, decoder.decode(piece)) for piece in _pieces(bytes(data))])
    return packed(datatype, decoder.decode(data))


def packed(datatype: Datatype, values: list[Any]) -> Array:
    """The flat, read-only array of values that the JSON decoder has typed; struct.error if one does not fit.

    struct.pack takes a fifth of the time of np.array.
    """
    dtype = DTYPES[datatype]
    if datatype == "BYTES":
        return np.array(values, dtype)
    return np.ndarray(len(values), dtype, struct.pack(f"{len(values)}{dtype.char}", *values))


def _pieces(array: bytes) -> Iterator[bytes]:
    """A valid JSON array of numbers as several."""
    inside = array.strip()[1:-1]
    start = 0
    while start < len(inside):
        comma = inside.find(b",", start + _PIECE)
        end = len(inside) if comma < 0 else comma
        yield b"[" + inside[start:end] + b"]"
        start = end + 1


def _from_nested(name: str, datatype: Datatype, shape: list[int], data: msgspec.Raw) -> Array:
    try:
        rows = _decoder(datatype, len(shape)).decode(data)
        values = _flattened(rows, shape)
        if values is not None:
            return packed(datatype, values).reshape(shape)
    except BAD_DATA as error:
        raise Refusal(400, f"input '{name}': data is not {datatype} nested as {shape}: {error}") from None
    raise Refusal(400, f"input '{name}': data is {_nesting(rows)}, but shape says {shape}")


def _flattened(rows: list[Any], shape: list[int]) -> list[Any] | None:
    """The values in row-major order; None if the lists are not as long as the shape says."""
    if len(rows) != shape[0]:
        return None
    for size in shape[1:]:
        if any(len(row) != size for row in rows):
            return None
        rows = list(itertools.chain.from_iterable(rows))
    return rows


def _nesting(rows: list[Any]) -> str:
    try:
        return f"nested as {list(np.array(rows).shape)}"
    except ValueError:  # numpy's message for rows of different lengths explains numpy, not the request
        return "ragged; give every row the same length"


@lru_cache(maxsize=256)
def _decoder(datatype: Datatype, depth: int) -> msgspec.json.Decoder[Any]:
    kind: Any = JSON_TYPES.get(datatype, int)
    for _ in range(depth):
        kind = list[kind]
    return msgspec.json.Decoder(kind)
