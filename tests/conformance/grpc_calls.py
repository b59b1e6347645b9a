"""Calls of the protocol over gRPC, and requests as its messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc

from .grpc_messages import CONTENTS, SERVICE, message
from .rule import Departs, NotApplicable
from .tensors import flat, packed, unpacked

if TYPE_CHECKING:
    from .probe import Probe

_OPTIONS = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))


@contextmanager
def channel(probe: Probe) -> Iterator[grpc.Channel]:
    if probe.target.grpc is None:
        raise NotApplicable("no --grpc was given")
    with grpc.insecure_channel(str(probe.target.grpc), options=_OPTIONS) as opened:
        yield opened


def call(probe: Probe, method: str, content: bytes, **options: Any) -> bytes:
    """The answer's bytes; grpc.RpcError with the status otherwise."""
    options.setdefault("timeout", probe.target.timeout)
    with channel(probe) as opened:
        return bytes(opened.unary_unary(f"/{SERVICE}/{method}", None, None)(content, **options))


def ask(probe: Probe, method: str, **fields: Any) -> Any:
    """The answer of a call that must succeed, as a message."""
    request = message(f"{method}Request")(**fields)
    try:
        return message(f"{method}Response").FromString(call(probe, method, request.SerializeToString()))
    except grpc.RpcError as error:
        raise Departs(f"{method}: {said(error)}") from None


def said(error: Any) -> str:
    return f"{error.code().name} {error.details()}"


def status(probe: Probe, method: str, content: bytes, **options: Any) -> Any:
    """The error of a call that must fail; Departs if it succeeds."""
    try:
        answer = call(probe, method, content, **options)
    except grpc.RpcError as error:
        return error
    raise Departs(f"accepted: {len(answer)} bytes of an answer")


def infer(probe: Probe, request: Any, **options: Any) -> Any:
    try:
        content = call(probe, "ModelInfer", request.SerializeToString(), **options)
    except grpc.RpcError as error:
        raise Departs(f"a valid request: {said(error)}") from None
    return message("ModelInferResponse").FromString(content)


def raw_request(probe: Probe, tensors: Sequence[dict[str, Any]] | None = None) -> Any:
    """The valid request with its tensors in raw_input_contents."""
    chosen = probe.anything["inputs"] if tensors is None else tensors
    request = _request(probe, chosen)
    request.raw_input_contents.extend(packed(tensor["datatype"], tensor["data"]) for tensor in chosen)
    return request


def typed_request(probe: Probe) -> Any:
    """The valid request with its tensors in the contents of each input."""
    chosen = probe.anything["inputs"]
    if any(tensor["datatype"] == "FP16" for tensor in chosen):
        raise NotApplicable("the model takes FP16, which has no typed contents")
    request = _request(probe, chosen)
    for tensor, declared in zip(request.inputs, chosen, strict=True):
        fill(tensor, declared["datatype"], list(flat(declared["data"])))
    return request


def fill(tensor: Any, datatype: str, values: list[Any]) -> None:
    encoded = [str(value).encode() for value in values] if datatype == "BYTES" else values
    getattr(tensor.contents, CONTENTS[datatype]).extend(encoded)


def _request(probe: Probe, tensors: Sequence[dict[str, Any]]) -> Any:
    request = message("ModelInferRequest")(model_name=probe.target.model)
    for tensor in tensors:
        request.inputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
    return request


def outputs(answer: Any) -> dict[str, tuple[list[int], list[Any]]]:
    """Shape and values by name, whether they came raw or typed."""
    raw = list(answer.raw_output_contents)
    if raw and len(raw) != len(answer.outputs):
        raise Departs(f"{len(raw)} raw_output_contents for {len(answer.outputs)} outputs")
    told = {}
    for number, tensor in enumerate(answer.outputs):
        values = unpacked(tensor.datatype, raw[number]) if raw else _typed(tensor)
        told[tensor.name] = (list(tensor.shape), values)
    return told


def _typed(tensor: Any) -> list[Any]:
    values = list(getattr(tensor.contents, CONTENTS[tensor.datatype]))
    return (
        [value.decode("utf-8", "surrogateescape") for value in values]
        if tensor.datatype == "BYTES"
        else values
    )


def metadata_over_grpc(probe: Probe) -> dict[str, Any]:
    """The model's metadata in the shape that REST gives it."""
    told = ask(probe, "ModelMetadata", name=probe.target.model)
    specs = {
        key: [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in getattr(told, key)]
        for key in ("inputs", "outputs")
    }
    versions = {"versions": list(told.versions)} if told.versions else {}
    return {"name": told.name, "platform": told.platform, **versions, **specs}
