"""Tensors of the protocol as JSON values and as bytes, without numpy."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any

# datatype -> format of struct, little-endian (inference_rest.md, Tensor Data Types)
FORMATS = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
DATATYPES = (*FORMATS, "BYTES")


def zero(datatype: str) -> Any:
    """The value that says nothing: false, 0, 0.0 or an empty string."""
    if datatype == "BYTES":
        return ""
    return False if datatype == "BOOL" else 0.0 if datatype.startswith("FP") else 0


def flat(data: object) -> Iterator[Any]:
    if isinstance(data, list):
        for part in data:
            yield from flat(part)
    else:
        yield data


def nested(data: Sequence[Any], shape: Sequence[int]) -> Any:
    """Row-major values as lists of lists of this shape."""
    if len(shape) < 2:
        return list(data)
    step = math.prod(shape[1:])
    return [nested(data[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]


def packed(datatype: str, data: object) -> bytes:
    """The bytes of these JSON values: little-endian, row-major; BYTES each behind its length of 4 bytes."""
    values = list(flat(data))
    if datatype != "BYTES":
        return struct.pack(f"<{len(values)}{FORMATS[datatype]}", *values)
    texts = [str(value).encode() for value in values]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def unpacked(datatype: str, content: bytes) -> list[Any]:
    """The values in these bytes; struct.error or ValueError if they are not whole."""
    if datatype == "BYTES":
        return list(_texts(content))
    size = struct.calcsize(f"<{FORMATS[datatype]}")
    return list(struct.unpack(f"<{len(content) // size}{FORMATS[datatype]}", content))


def _texts(content: bytes) -> Iterator[str]:
    position = 0
    while position < len(content):
        (size,) = struct.unpack_from("<I", content, position)
        end = position + 4 + size
        if end > len(content):
            raise ValueError(f"an element of {size} bytes at {position} of {len(content)}")
        yield content[position + 4 : end].decode("utf-8", "surrogateescape")
        position = end


def same(left: Sequence[Any], right: Sequence[Any]) -> bool:
    """Equal values; floats within 1e-3 of each other, for FP16 has no more; null of JSON stands for NaN."""
    return len(left) == len(right) and all(map(_alike, left, right))


def _alike(left: Any, right: Any) -> bool:
    if isinstance(left, float) or isinstance(right, float):
        if left is None or right is None or left != left or right != right:
            return _is_nothing(left) and _is_nothing(right)
        return math.isclose(left, right, rel_tol=1e-3, abs_tol=1e-4)
    return bool(left == right)


def _is_nothing(value: Any) -> bool:
    return value is None or value != value or math.isinf(value)
