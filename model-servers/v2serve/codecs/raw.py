"""Tensors as bytes, in the layout that V2's binary extension and gRPC's raw contents share: little-endian, row-major.

BYTES is each element's length (4 bytes, little-endian) and the element. Big-endian hosts are not supported.
"""

import math
import sys
from collections.abc import Sequence
from struct import Struct
from typing import Any

import numpy as np

from v2serve.codecs.limits import TensorLimits, check_texts
from v2serve.protocol import Datatype, Refusal
from v2serve.tensors import DTYPES, Array

if sys.byteorder != "little":
    raise ImportError(
        "v2serve sends and takes tensors as they lie in memory, so it needs a little-endian host"
    )

_LENGTH = Struct("<I")
_BOOL = DTYPES["BOOL"]
_UINT8 = np.dtype(np.uint8)


def from_raw(
    name: str,
    datatype: Datatype,
    shape: Sequence[int],
    buffer: bytes,
    start: int,
    size: int,
    limits: TensorLimits,
) -> Array:
    """The array in these `size` bytes of the buffer, not copied where it can be: then it is read-only.

    The buffer holds start + size bytes; Refusal 400 if they are not this tensor.
    """
    if datatype == "BYTES":
        return _texts(name, shape, buffer, start, size, limits)
    dtype = DTYPES[datatype]
    needs = math.prod(shape) * dtype.itemsize
    if needs != size:
        raise Refusal(
            400, f"input '{name}': {datatype} of shape {list(shape)} is {needs} bytes, {size} are given"
        )
    if dtype is _BOOL:
        return _bools(name, shape, buffer, start)
    array: Array = np.ndarray(shape, dtype, buffer, start)
    # The runtime reads memory as aligned, and a JSON head ends anywhere.
    return array if array.flags.aligned else array.copy()


def _bools(name: str, shape: Sequence[int], buffer: bytes, start: int) -> Array:
    octets: Array = np.ndarray(shape, _UINT8, buffer, start)
    if octets.size and (largest := octets.max()) > 1:
        raise Refusal(400, f"input '{name}': a BOOL is the byte {largest}; send 0 or 1")
    return octets.view(_BOOL)


def _texts(
    name: str, shape: Sequence[int], buffer: bytes, start: int, size: int, limits: TensorLimits
) -> Array:
    count, end, at = math.prod(shape), start + size, start
    texts: list[bytes] = []
    while at < end and len(texts) <= count:
        begin = at + 4
        at = begin + (_LENGTH.unpack_from(buffer, at)[0] if begin <= end else 0)
        if at > end:
            raise Refusal(400, _overrun(name, len(texts), end - begin, at - begin))
        texts.append(buffer[begin:at])
    if len(texts) != count:
        found = f"more than {count}" if len(texts) > count else len(texts)
        raise Refusal(
            400, f"input '{name}': shape {list(shape)} needs {count} elements, its {size} bytes hold {found}"
        )
    check_texts(name, texts, limits)
    return object_array(texts, shape)


def _overrun(name: str, index: int, left: int, length: int) -> str:
    if left < 0:
        return f"input '{name}': element {index} ends within its length; a BYTES element begins with 4 bytes of it"
    return f"input '{name}': element {index} says it has {length} bytes, {left} are left; send all of it"


def object_array(values: list[Any], shape: Sequence[int]) -> Array:
    """An array of Python objects; filled, for numpy guesses at what it is given."""
    array = np.empty(len(values), np.object_)
    array[:] = values
    return array.reshape(shape)


def to_raw(datatype: Datatype, array: Array) -> bytes | memoryview:
    """The tensor's bytes; numbers as they lie in memory, not copied."""
    if datatype != "BYTES":
        return np.ascontiguousarray(array).reshape(-1).view(_UINT8).data
    framed: list[bytes] = []
    for text in array.ravel().tolist():
        octets = text.encode() if isinstance(text, str) else text
        framed += (_LENGTH.pack(len(octets)), octets)
    return b"".join(framed)
