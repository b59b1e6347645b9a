"""What one request may ask a codec to hold, whatever it claims; beyond it is 413."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from v2serve.protocol import Refusal, shown


class TensorLimits(NamedTuple):
    """Limits that the body's size alone does not set."""

    elements: int = 1 << 24  # of all inputs together
    rank: int = 16
    text_bytes: int = 4 << 20  # one element of BYTES: a photograph of a camera, which fills a body
    tensors: int = 256  # inputs, and outputs that are asked for
    parameters: int = 64  # of the request, of an input or of an output
    parameter_chars: int = 4096  # keys and texts of one such set together
    id_chars: int = 1024


DEFAULT_LIMITS = TensorLimits()
NO_PARAMETERS: Mapping[str, Any] = MappingProxyType({})

_NOT_OFFERED = ("classification", "shared_memory_region")


def check_id(identifier: str | None, limits: TensorLimits) -> None:
    if identifier and len(identifier) > limits.id_chars:
        raise Refusal(
            413, f"id has {len(identifier)} characters; at most {limits.id_chars} are taken: shorten it"
        )


def check_count(kind: str, count: int, limits: TensorLimits) -> None:
    if count > limits.tensors:
        raise Refusal(413, f"{count} {kind} in one request; at most {limits.tensors} are taken: name fewer")


def check_parameters(owner: str, parameters: Mapping[str, Any] | None, limits: TensorLimits) -> None:
    """`owner` says whose they are: "the request", "input 'x'"."""
    if not parameters:
        return
    if len(parameters) > limits.parameters:
        raise Refusal(413, f"{owner} has {len(parameters)} parameters; at most {limits.parameters} are taken")
    size = sum(len(key) + (len(v) if isinstance(v, str) else 0) for key, v in parameters.items())
    if size > limits.parameter_chars:
        raise Refusal(
            413, f"{owner} has parameters of {size} characters; at most {limits.parameter_chars} are taken"
        )


def check_wish(owner: str, parameters: Mapping[str, Any]) -> None:
    """Refuses an output in a form of Triton's that would be ignored otherwise."""
    for key in _NOT_OFFERED:
        if key in parameters:
            raise Refusal(
                400, f"{owner}: parameter {key} asks for an extension that is not offered; leave it out"
            )


def check_shape(name: str, shape: list[int], limits: TensorLimits) -> None:
    """Refuses what numpy cannot shape: too many axes, or [0, 2**62], which is empty but has no strides."""
    if len(shape) > limits.rank:
        raise Refusal(400, f"input '{name}': shape has {len(shape)} sizes; at most {limits.rank} are taken")
    if 0 in shape and max(shape) > limits.elements:
        raise Refusal(
            400, f"input '{name}': shape {shape} has a size above {limits.elements}; give the real one"
        )


def check_elements(name: str, total: int, limits: TensorLimits) -> None:
    """`total` counts this input and those before it."""
    if total > limits.elements:
        raise Refusal(
            413,
            f"input '{name}': {total} elements so far; at most {limits.elements} are taken in one request:"
            " send several requests",
        )


def check_texts(name: str, texts: list[bytes], limits: TensorLimits) -> None:
    """The first that is too long is named by its place among the elements, which counts from 0 and row by row."""
    if max(map(len, texts), default=0) <= limits.text_bytes:
        return
    index, text = next((at, one) for at, one in enumerate(texts) if len(one) > limits.text_bytes)
    raise Refusal(
        413,
        f"input '{name}': element {index} has {len(text)} bytes; at most {limits.text_bytes} are taken"
        f" (it begins {shown(repr(text[:16]))})",
    )
