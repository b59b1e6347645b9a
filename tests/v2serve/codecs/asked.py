"""Contracts, requests and random arrays for the codecs' tests; no model runs here."""

import json
from typing import Any, get_args

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from v2serve.codecs.release import ReleaseName
from v2serve.contract import Contract, RequestCheck, TensorSpec
from v2serve.protocol import Datatype
from v2serve.tensors import DTYPES, Array

RELEASE = ReleaseName("iris", "4")
DATATYPES: tuple[Datatype, ...] = get_args(Datatype)
ROW = [5.1, 3.5, 1.4, 0.2]


def check_of(*inputs: TensorSpec, outputs: tuple[TensorSpec, ...] | None = None) -> RequestCheck:
    """A model that takes these; it gives the same unless told otherwise."""
    return RequestCheck(Contract("iris", "onnxruntime_onnx", inputs, outputs or inputs))


def echo(datatype: Datatype, rank: int = 1) -> RequestCheck:
    """Takes x, gives y, of any sizes."""
    sizes = (-1,) * rank
    return check_of(TensorSpec("x", datatype, sizes), outputs=(TensorSpec("y", datatype, sizes),))


IRIS = check_of(
    TensorSpec("features", "FP32", (-1, 4)),
    outputs=(TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, 3))),
)
PAIR = check_of(TensorSpec("a", "FP32", (-1,)), TensorSpec("b", "INT64", (-1,)))


def body_of(request: Any, *raws: bytes) -> tuple[bytes, str]:
    """The body of a binary request and its header."""
    head = json.dumps(request).encode()
    return head + b"".join(raws), str(len(head))


def elements_of(datatype: Datatype) -> st.SearchStrategy[Any]:
    if datatype == "BYTES":
        return st.binary(max_size=12)
    dtype = DTYPES[datatype]
    if dtype.kind == "f":
        return arrays.from_dtype(dtype, allow_nan=False, allow_infinity=False)
    return arrays.from_dtype(dtype)


@st.composite
def tensors(draw: st.DrawFn, datatypes: tuple[Datatype, ...] = DATATYPES) -> tuple[Datatype, Array]:
    """A datatype and an array of it, of rank 0 to 4, possibly empty; BYTES are UTF-8 or not."""
    datatype = draw(st.sampled_from(datatypes))
    shape = draw(arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    return datatype, draw(arrays.arrays(DTYPES[datatype], shape, elements=elements_of(datatype)))


def same(datatype: Datatype, found: Array, sent: Array) -> bool:
    """Equal in type, shape and each bit that counts."""
    if datatype == "BYTES":
        return found.shape == sent.shape and found.ravel().tolist() == sent.ravel().tolist()
    return found.dtype == sent.dtype and found.shape == sent.shape and bool(np.array_equal(found, sent))
