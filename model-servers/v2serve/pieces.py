"""A large answer, encoded piece by piece: all its values as Python objects, 32 bytes each, need too much memory."""

from collections.abc import Sequence

from v2serve.protocol import InferResponse, OutputTensor, encode
from v2serve.tensors import Array, to_json

_PIECE = 1 << 15  # values


def encode_large(response: InferResponse, arrays: Sequence[Array]) -> bytearray:
    """The response as JSON; the arrays are the data of its outputs, which hold none themselves."""
    tensors, response.outputs = response.outputs, []
    text = _opened(response)
    for tensor, array in zip(tensors, arrays, strict=True):
        text += _opened(tensor)
        _append(text, tensor, array.ravel())
        text += b"]},"
    text[-1:] = b"]}"
    return text


def _opened(message: InferResponse | OutputTensor) -> bytearray:
    """Its JSON up to where the elements of its last field, an empty list, begin."""
    return bytearray(encode(message)).removesuffix(b"]}")


def _append(text: bytearray, tensor: OutputTensor, values: Array) -> None:
    for start in range(0, len(values), _PIECE):
        data = to_json(tensor.name, tensor.datatype, values[start : start + _PIECE])
        text += encode(data)[1:-1] + b","
    if len(values):
        del text[-1]  # the last comma
