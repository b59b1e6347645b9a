"""What a model takes and gives: the V2 metadata in `contract.json`, and the check of a request against it."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from v2serve.artifact import ArtifactError
from v2serve.protocol import Datatype, InferRequest, InputTensor, Refusal, RequestedOutput, shown

CONTRACT = "contract.json"


class TensorSpec(msgspec.Struct, frozen=True):
    """-1 stands for a dimension that the request chooses."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]


class Contract(msgspec.Struct, frozen=True):
    name: str
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def load_contract(folder: Path) -> Contract:
    """contract.json, typed; raises ArtifactError with the JSON path of what is wrong."""
    try:
        contract = msgspec.json.decode((folder / CONTRACT).read_bytes(), type=Contract)
    except OSError as error:
        raise ArtifactError(f"{CONTRACT}: {error.strerror}; an artifact has one") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{CONTRACT}: {error}") from None
    _check_tensors("inputs", contract.inputs)
    _check_tensors("outputs", contract.outputs)
    return contract


def _check_tensors(field: str, tensors: Sequence[TensorSpec]) -> None:
    names = [tensor.name for tensor in tensors]
    if not names or len(set(names)) != len(names):
        raise ArtifactError(f"{CONTRACT}: {field} names {names}; name at least one tensor, each once")
    for tensor in tensors:
        if any(size < -1 for size in tensor.shape):
            raise ArtifactError(f"{CONTRACT}: {tensor.name}: shape {list(tensor.shape)} has a size below -1")


class RequestCheck:
    """A contract, ready to judge requests."""

    def __init__(self, contract: Contract) -> None:
        self._inputs = {tensor.name: tensor for tensor in contract.inputs}
        self._outputs = {tensor.name: tensor for tensor in contract.outputs}
        self._all_outputs = list(contract.outputs)

    def inputs(self, request: InferRequest) -> list[tuple[TensorSpec, InputTensor]]:
        """Each input with its specification; 400 for wrong names, datatypes and shapes."""
        pairs: dict[str, tuple[TensorSpec, InputTensor]] = {}
        for tensor in request.inputs:
            spec = self._inputs.get(tensor.name)
            if spec is None:
                known = ", ".join(self._inputs)
                raise Refusal(400, f"input {shown(tensor.name)}: unknown; the model takes {known}")
            if tensor.name in pairs:
                raise Refusal(400, f"input '{tensor.name}': given twice; give it once")
            _check_input(spec, tensor)
            pairs[tensor.name] = spec, tensor
        if len(pairs) != len(self._inputs):
            missing = next(name for name in self._inputs if name not in pairs)
            raise Refusal(400, f"input '{missing}': missing; the model takes {', '.join(self._inputs)}")
        return list(pairs.values())

    def outputs(self, requested: list[RequestedOutput] | None) -> list[TensorSpec]:
        """What to answer: the outputs that the request names, or all; 400 for unknown or repeated names."""
        if not requested:
            return self._all_outputs
        chosen: dict[str, TensorSpec] = {}
        for output in requested:
            spec = self._outputs.get(output.name)
            if spec is None:
                known = ", ".join(self._outputs)
                raise Refusal(400, f"output {shown(output.name)}: unknown; the model gives {known}")
            if output.name in chosen:
                raise Refusal(400, f"output '{output.name}': asked for twice; ask once")
            chosen[output.name] = spec
        return list(chosen.values())


def _check_input(spec: TensorSpec, tensor: InputTensor) -> None:
    if tensor.datatype != spec.datatype:
        given = shown(tensor.datatype)
        raise Refusal(400, f"input '{spec.name}': datatype {given} given, the model takes {spec.datatype}")
    if len(tensor.shape) != len(spec.shape):
        raise Refusal(400, _wrong_shape(spec, tensor))
    for given_size, size in zip(tensor.shape, spec.shape, strict=True):
        if size not in (-1, given_size):
            raise Refusal(400, _wrong_shape(spec, tensor))


def _wrong_shape(spec: TensorSpec, tensor: InputTensor) -> str:
    given = str(tensor.shape) if len(tensor.shape) <= 16 else f"of rank {len(tensor.shape)}"
    return f"input '{spec.name}': shape {given} given, the model takes {list(spec.shape)} (-1 is any size)"
