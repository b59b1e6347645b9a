"""Golden requests as V2 JSON: the tensors of a request and of its answer, the same bytes for the same values."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainkit.documents import shortest
from trainkit.errors import TrainError

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


@dataclass(frozen=True)
class Tensor:
    """An input or output of the contract; -1 is a size that the caller chooses, an optional input may be left out."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True)
class Asked:
    """A golden request: arrays by input name (BYTES: objects of `bytes` or `str`) and V2 parameters."""

    inputs: Mapping[str, NDArray[Any]]
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)


def request(asked: Asked, tensors: Sequence[Tensor], name: str) -> dict[str, Any]:
    """The V2 request `name`, inputs in the contract's order; TrainError if it has other inputs than the contract."""
    names = {tensor.name for tensor in tensors}
    needed = {tensor.name for tensor in tensors if not tensor.optional}
    if not needed <= asked.inputs.keys() <= names:
        raise TrainError(f"{name}: its inputs are {sorted(asked.inputs)}, the contract's are {sorted(names)}")
    found: dict[str, Any] = {
        "id": name,
        "inputs": [
            document(tensor, asked.inputs[tensor.name]) for tensor in tensors if tensor.name in asked.inputs
        ],
    }
    return found | ({"parameters": dict(asked.parameters)} if asked.parameters else {})


def document(tensor: Tensor, values: NDArray[Any]) -> dict[str, Any]:
    """A V2 tensor, data flat and row-major. JSON has no NaN: null. It has no bytes: base64, for the whole tensor."""
    array = np.asarray(values)
    return {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(array.shape),
        "data": _data(tensor, array),
    }


def is_binary(values: NDArray[Any]) -> bool:
    """Whether an element is not UTF-8, so that JSON can hold the tensor as base64 only."""
    return any(isinstance(item, bytes) and not _is_text(item) for item in np.asarray(values).ravel().tolist())


def _data(tensor: Tensor, array: NDArray[Any]) -> list[Any]:
    if tensor.datatype == "BYTES":
        return _texts(tensor, array)
    if tensor.datatype == "FP32":
        return [value if math.isfinite(value) else None for value in shortest(array)]
    if tensor.datatype in ("FP16", "FP64"):
        return [
            value if math.isfinite(value) else None for value in array.astype(np.float64).ravel().tolist()
        ]
    return list(array.ravel().tolist())


def _texts(tensor: Tensor, array: NDArray[Any]) -> list[str]:
    items = array.ravel().tolist()
    for item in items:
        if not isinstance(item, bytes | str):
            raise TrainError(f"{tensor.name}: BYTES holds a {type(item).__name__}; give bytes or str")
    if is_binary(array):
        return [base64.b64encode(_encoded(item)).decode("ascii") for item in items]
    return [_encoded(item).decode() for item in items]


def _encoded(item: str | bytes) -> bytes:
    return item.encode() if isinstance(item, str) else item


def _is_text(item: bytes) -> bool:
    try:
        item.decode()
    except UnicodeDecodeError:
        return False
    return True
