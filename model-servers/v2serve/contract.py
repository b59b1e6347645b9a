"""What a model takes and gives: the V2 metadata in `contract.json`, and the check of a request against it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from v2serve.artifact import ArtifactError
from v2serve.protocol import Datatype, Refusal, shown

CONTRACT = "contract.json"


class TensorSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """-1 stands for a dimension that the request chooses; an optional input may be left out."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    optional: bool = False


class Contract(msgspec.Struct, frozen=True):
    """`name` is the model's own; what callers ask for is the name of its release, which may be another."""

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
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{CONTRACT}: {error}") from None
    _check_tensors("inputs", contract.inputs)
    _check_tensors("outputs", contract.outputs)
    if given := next((tensor.name for tensor in contract.outputs if tensor.optional), None):
        raise ArtifactError(f"{CONTRACT}: {given}: optional is of inputs; an output is always given")
    return contract


def _check_tensors(field: str, tensors: Sequence[TensorSpec]) -> None:
    names = [tensor.name for tensor in tensors]
    if not names or len(set(names)) != len(names):
        raise ArtifactError(f"{CONTRACT}: {field} names {names}; name at least one tensor, each once")
    for tensor in tensors:
        if any(size < -1 for size in tensor.shape):
            raise ArtifactError(f"{CONTRACT}: {tensor.name}: shape {list(tensor.shape)} has a size below -1")


class Given(Protocol):
    """An input of a request, whichever wire brought it."""

    @property
    def name(self) -> str: ...
    @property
    def datatype(self) -> str: ...
    @property
    def shape(self) -> list[int]: ...


class Named(Protocol):
    """An output that a request asks for."""

    @property
    def name(self) -> str: ...


Input = TypeVar("Input", bound=Given)
Input_co = TypeVar("Input_co", bound=Given, covariant=True)


class Asking(Protocol[Input_co]):
    @property
    def inputs(self) -> Sequence[Input_co]: ...


class RequestCheck:
    """A contract, ready to judge requests: the same judgement for JSON, binary data and gRPC."""

    def __init__(self, contract: Contract) -> None:
        datatypes = {tensor.datatype for tensor in contract.inputs}
        self.datatype = datatypes.pop() if len(datatypes) == 1 else None  # of all inputs, if they share one
        self._inputs = {tensor.name: tensor for tensor in contract.inputs}
        self._needed = [tensor.name for tensor in contract.inputs if not tensor.optional]
        self._outputs = {tensor.name: tensor for tensor in contract.outputs}
        self._all_outputs = list(contract.outputs)

    def inputs(self, request: Asking[Input]) -> list[tuple[TensorSpec, Input]]:
        """Each input with its specification, as the request orders them; 400 for a wrong name, datatype or shape."""
        specs = self._inputs
        pairs: list[tuple[TensorSpec, Input]] = []
        for tensor in request.inputs:
            spec = specs.get(tensor.name)
            if spec is None:
                known = ", ".join(specs)
                raise Refusal(400, f"input {shown(tensor.name)}: unknown; the model takes {known}")
            _check_input(spec, tensor)
            pairs.append((spec, tensor))
        if len(pairs) != len(specs) or len(pairs) > 1:
            _check_names([spec.name for spec, _ in pairs], self._needed, specs)
        return pairs

    def outputs(self, requested: Iterable[Named] | None) -> list[TensorSpec]:
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


def _check_names(given: Sequence[str], needed: Iterable[str], specs: Iterable[str]) -> None:
    """`given` are names of specifications: which of them twice, which of the needed not at all?"""
    names = set(given)
    if len(names) < len(given):
        twice = next(name for name in given if given.count(name) > 1)
        raise Refusal(400, f"input '{twice}': given twice; give it once")
    missing = next((name for name in needed if name not in names), None)
    if missing is not None:
        raise Refusal(400, f"input '{missing}': missing; the model takes {', '.join(specs)}")


def _check_input(spec: TensorSpec, tensor: Given) -> None:
    if tensor.datatype != spec.datatype:
        given = shown(tensor.datatype)
        raise Refusal(400, f"input '{spec.name}': datatype {given} given, the model takes {spec.datatype}")
    shape = tensor.shape
    if len(shape) != len(spec.shape):
        raise Refusal(400, _wrong_shape(spec, tensor))
    for given_size, size in zip(shape, spec.shape, strict=True):
        if size not in (-1, given_size):
            raise Refusal(400, _wrong_shape(spec, tensor))


def _wrong_shape(spec: TensorSpec, tensor: Given) -> str:
    given = str(tensor.shape) if len(tensor.shape) <= 16 else f"of rank {len(tensor.shape)}"
    return f"input '{spec.name}': shape {given} given, the model takes {list(spec.shape)} (-1 is any size)"
