"""A request's bytes to a response's bytes: decode, check, run, encode.

Binary tensors and gRPC are other codecs around the same three steps; a batcher goes between check and run.
"""

import itertools
import os
from collections.abc import Sequence

from v2serve.contract import RequestCheck, TensorSpec
from v2serve.model import OnnxModel
from v2serve.pieces import encode_large
from v2serve.protocol import (
    InferRequest,
    InferResponse,
    OutputTensor,
    Parameters,
    Refusal,
    decode_request,
    encode,
)
from v2serve.tensors import Array, from_json, to_json

_BINARY = (
    "the binary extension of V2 is not offered; send and ask for JSON data (KServe's SDK: binary_data=False)"
)
_LARGE = 1 << 15  # values; a larger answer is encoded in pieces


class Inference:
    """V2 JSON in, V2 JSON out, for one model; every refusal is a Refusal."""

    def __init__(self, model: OnnxModel, name: str, version: str | None) -> None:
        self._model = model
        self._name = name
        self._version = version
        self._check = RequestCheck(model.contract)
        # A counter after a random start: as unique as uuid4 here, at a tenth of its cost.
        # Two threads may draw from it: next() of a count is one step, next() of a generator is not.
        self._start, self._numbers = os.urandom(8).hex(), itertools.count()

    def __call__(self, body: bytes) -> bytes | bytearray:
        response, arrays = self._run(decode_request(body))
        if sum(array.size for array in arrays) > _LARGE:
            return encode_large(response, arrays)
        return encode(_filled(response, arrays))

    def answer(self, request: InferRequest) -> InferResponse:
        return _filled(*self._run(request))

    def _run(self, request: InferRequest) -> tuple[InferResponse, Sequence[Array]]:
        """The answer without its data, and the data."""
        wanted = self._wanted(request)
        arrays = self._model.run([spec.name for spec in wanted], self._feeds(request))
        outputs = [
            OutputTensor(spec.name, array.shape, spec.datatype, [])
            for spec, array in zip(wanted, arrays, strict=True)
        ]
        identifier = f"{self._start}-{next(self._numbers):x}" if request.id is None else request.id
        response = InferResponse(
            model_name=self._name, id=identifier, model_version=self._version, outputs=outputs
        )
        return response, arrays

    def _feeds(self, request: InferRequest) -> dict[str, Array]:
        feeds = {}
        for spec, tensor in self._check.inputs(request):
            _refuse_binary(tensor.parameters, "binary_data_size")
            feeds[spec.name] = from_json(spec.name, spec.datatype, tensor.shape, tensor.data)
        return feeds

    def _wanted(self, request: InferRequest) -> list[TensorSpec]:
        wanted = self._check.outputs(request.outputs)
        _refuse_binary(request.parameters, "binary_data_output")
        for output in request.outputs or ():
            _refuse_binary(output.parameters, "binary_data")
        return wanted


def _refuse_binary(parameters: Parameters | None, key: str) -> None:
    if parameters is not None and parameters.get(key, False) is not False:
        raise Refusal(400, f"parameter {key}: {_BINARY}")


def _filled(response: InferResponse, arrays: Sequence[Array]) -> InferResponse:
    for output, array in zip(response.outputs, arrays, strict=True):
        output.data = to_json(output.name, output.datatype, array)
    return response
