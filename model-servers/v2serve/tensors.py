"""JSON tensor data to numpy arrays and back, strictly: no value is wrapped, rounded to an integer or made up."""

import math
import re
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
_JSON_TYPES: dict[str, Any] = {"BOOL": bool, "BYTES": str, "FP32": _Float32, "FP64": float}
_NESTED = re.compile(rb"\s*\[\s*\[")


def from_json(name: str, datatype: Datatype, shape: list[int], data: msgspec.Raw) -> Array:
    """The array of this shape; 400 names the input if a value, the count or the nesting does not fit."""
    if datatype == "FP16":
        raise Refusal(
            400, f"input '{name}': FP16 data cannot be sent as JSON; send FP32 to a model that takes it"
        )
    nested = len(shape) > 1 and _NESTED.match(data) is not None
    try:
        values = _decoder(datatype, len(shape) if nested else 1).decode(data)
        array = np.array(values, DTYPES[datatype])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, OverflowError) as error:
        raise Refusal(400, f"input '{name}': data is not {datatype}: {error}") from None
    except ValueError:  # numpy's message for rows of different lengths explains numpy, not the request
        raise Refusal(400, f"input '{name}': data is ragged; give every row the same length") from None
    return _shaped(name, array, shape, nested)


def to_json(array: Array) -> list[Any]:
    """Flat row-major Python values; float32 keeps its exact value."""
    values: list[Any] = array.ravel().tolist()
    return values


@lru_cache(maxsize=256)
def _decoder(datatype: Datatype, depth: int) -> msgspec.json.Decoder[Any]:
    kind: Any = _JSON_TYPES.get(datatype, int)
    for _ in range(depth):
        kind = list[kind]
    return msgspec.json.Decoder(kind)


def _shaped(name: str, array: Array, shape: list[int], nested: bool) -> Array:
    if nested:
        if list(array.shape) != shape:
            raise Refusal(
                400, f"input '{name}': data is nested as {list(array.shape)}, but shape says {shape}"
            )
        return array
    if array.size != math.prod(shape):
        raise Refusal(
            400, f"input '{name}': shape {shape} needs {math.prod(shape)} values, data holds {array.size}"
        )
    return array.reshape(shape)
