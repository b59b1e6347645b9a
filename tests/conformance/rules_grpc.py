"""Rules of the protocol over gRPC."""

from __future__ import annotations

import math
import struct
import threading
import time
from typing import Any

import grpc

from . import sources
from .grpc_calls import ask, call, channel, infer, outputs, raw_request, said, typed_request
from .grpc_messages import SERVICE, message
from .probe import Probe
from .rule import Level, NotApplicable, NotOffered, Rule, Source, expect
from .tensors import DATATYPES, FORMATS, same, zero

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY
_RAW = sources.proto("ModelInferRequest.raw_input_contents")


def server_live(probe: Probe) -> str:
    expect(ask(probe, "ServerLive").live, "live is false")
    return "live"


def server_ready(probe: Probe) -> str:
    expect(ask(probe, "ServerReady").ready, "ready is false")
    return "ready"


def model_ready(probe: Probe) -> str:
    expect(ask(probe, "ModelReady", name=probe.target.model).ready, "ready is false")
    return "ready"


def server_metadata(probe: Probe) -> str:
    told = ask(probe, "ServerMetadata")
    expect(bool(told.name and told.version), f"name {told.name!r}, version {told.version!r}")
    return f"{told.name} {told.version}, extensions {', '.join(told.extensions) or 'none'}"


def model_metadata(probe: Probe) -> str:
    told = ask(probe, "ModelMetadata", name=probe.target.model)
    expect(told.name == probe.target.model, f"name {told.name!r}")
    for tensor in (*told.inputs, *told.outputs):
        expect(bool(tensor.name) and tensor.datatype in DATATYPES, f"{tensor.name!r}: {tensor.datatype!r}")
    return f"{len(told.inputs)} inputs, {len(told.outputs)} outputs"


def same_metadata(probe: Probe) -> str:
    """What REST says and what gRPC says."""
    if probe.target.rest is None:
        raise NotApplicable("no --rest was given")
    told = ask(probe, "ModelMetadata", name=probe.target.model)
    for key in ("inputs", "outputs"):
        ours = [(t.name, t.datatype, list(t.shape)) for t in getattr(told, key)]
        theirs = [(t["name"], t["datatype"], t["shape"]) for t in probe.metadata.get(key) or []]
        expect(ours == theirs, f"{key}: {ours} here, {theirs} over REST")
    expect(told.platform == probe.metadata.get("platform"), f"platform {told.platform!r}")
    return "tensors and platform agree"


def raw(probe: Probe) -> str:
    answer = infer(probe, raw_request(probe))
    expect(answer.model_name == probe.target.model, f"model_name {answer.model_name!r}")
    return _whole(answer)


def _whole(answer: Any) -> str:
    told = outputs(answer)
    expect(bool(told), "no outputs")
    for name, (shape, values) in told.items():
        expect(len(values) == math.prod(shape), f"{name}: {len(values)} values for {shape}")
    return f"{', '.join(told)}: {'raw' if answer.raw_output_contents else 'typed'}"


def typed(probe: Probe) -> str:
    return _whole(infer(probe, typed_request(probe)))


def all_or_none(probe: Probe) -> str:
    answer = infer(probe, raw_request(probe))
    if not answer.raw_output_contents:
        return "typed contents only"
    filled = [tensor.name for tensor in answer.outputs if tensor.HasField("contents")]
    expect(not filled, f"raw_output_contents, and contents of {', '.join(filled)}")
    return "raw contents only"


def sizes(probe: Probe) -> str:
    answer = infer(probe, raw_request(probe))
    if not answer.raw_output_contents:
        raise NotApplicable("outputs come typed")
    for tensor, content in zip(answer.outputs, answer.raw_output_contents, strict=True):
        if tensor.datatype in FORMATS:
            wanted = math.prod(tensor.shape) * struct.calcsize(f"<{FORMATS[tensor.datatype]}")
            expect(len(content) == wanted, f"{tensor.name}: {len(content)} bytes, not {wanted}")
    return "as the shapes and datatypes say"


def as_rest(probe: Probe) -> str:
    if probe.target.rest is None:
        raise NotApplicable("no --rest was given")
    from .probe import values

    told = outputs(infer(probe, raw_request(probe)))
    for tensor in probe.reference["outputs"]:
        shape, ours = told.get(tensor["name"], ([], []))
        expect(shape == tensor["shape"] and same(ours, values(tensor)), f"{tensor['name']}: {ours[:4]}")
    return "the answer of REST"


def raw_is_typed(probe: Probe) -> str:
    one, other = outputs(infer(probe, raw_request(probe))), outputs(infer(probe, typed_request(probe)))
    for name in one:
        fits = one[name][0] == other[name][0] and same(one[name][1], other[name][1])
        expect(fits, f"{name}: {one[name][1][:4]} and {other[name][1][:4]}")
    return "the same answer"


def id_echoed(probe: Probe) -> str:
    request = raw_request(probe)
    request.id = "an-id-\u2713"
    told = infer(probe, request).id
    expect(told == request.id, f"id {told!r}")
    return str(told)


def chosen_outputs(probe: Probe) -> str:
    for name in outputs(infer(probe, raw_request(probe))):
        request = raw_request(probe)
        request.outputs.add(name=name)
        given = [tensor.name for tensor in infer(probe, request).outputs]
        expect(given == [name], f"asked for {name}, got {', '.join(given)}")
    return "each alone"


def parameters(probe: Probe) -> str:
    request = raw_request(probe)
    told = {
        "string_param": "s",
        "int64_param": 1,
        "bool_param": True,
        "double_param": 0.5,
        "uint64_param": 2**63,
    }
    for holder in (request, *request.inputs):
        for name, value in told.items():
            setattr(holder.parameters[name], name, value)
    infer(probe, request)
    return "of each kind"


def version(probe: Probe) -> str:
    request = raw_request(probe)
    request.model_version = probe.version
    told = infer(probe, request).model_version
    expect(told == probe.version, f"model_version {told!r}")
    return str(told)


def unknown_field(probe: Probe) -> str:
    content = (
        raw_request(probe).SerializeToString() + b"\xfa\x3f\x03abc"
    )  # field 1023, as a later proto might have
    call(probe, "ModelInfer", content)
    return "ignored"


def compressed(probe: Probe) -> str:
    content = raw_request(probe).SerializeToString()
    try:
        call(probe, "ModelInfer", content, compression=grpc.Compression.Gzip)
    except grpc.RpcError as error:
        expect(error.code().name == "UNIMPLEMENTED", said(error))
        raise NotOffered(said(error)) from None
    return "a gzip message is read"


def deadline(probe: Probe) -> str:
    """A call with a deadline that is past is not left without an end."""
    begin = time.monotonic()
    content = raw_request(probe).SerializeToString()
    try:
        call(probe, "ModelInfer", content, timeout=0.001)
    except grpc.RpcError as error:
        expect(error.code().name == "DEADLINE_EXCEEDED", said(error))
    expect(time.monotonic() - begin < probe.target.timeout, "the call outlives its deadline")
    call(probe, "ModelInfer", content, timeout=probe.target.timeout)
    return "a call of 1 ms ends; the next is answered"


def cancelled(probe: Probe) -> str:
    content = raw_request(probe).SerializeToString()
    with channel(probe) as opened:
        method = opened.unary_unary(f"/{SERVICE}/ModelInfer", None, None)
        for _ in range(20):
            method.future(content, timeout=probe.target.timeout).cancel()
        method(content, timeout=probe.target.timeout)
    return "20 cancelled calls harm nobody"


def concurrent(probe: Probe) -> str:
    """Calls on one connection get their own answers."""
    told: dict[int, str] = {}
    with channel(probe) as opened:
        method = opened.unary_unary(f"/{SERVICE}/ModelInfer", None, None)

        def one(number: int) -> None:
            request = raw_request(probe)
            request.id = str(number)
            content = method(request.SerializeToString(), timeout=probe.target.timeout)
            told[number] = message("ModelInferResponse").FromString(content).id

        threads = [threading.Thread(target=one, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    expect(told == {number: str(number) for number in range(16)}, f"ids {told}")
    return "16 at once on one connection"


def metadata_ignored(probe: Probe) -> str:
    content = raw_request(probe).SerializeToString()
    call(probe, "ModelInfer", content, metadata=(("x-request-id", "1"), ("trace-bin", b"\x00\xff")))
    return "ignored"


def many_values(probe: Probe) -> str:
    """A larger batch where the first size is variable: several DATA frames each way."""
    tensors = probe.anything["inputs"]
    specs = {spec["name"]: spec["shape"] for spec in probe.metadata.get("inputs") or []}
    if not specs or any(specs.get(t["name"], [0])[:1] != [-1] for t in tensors):
        raise NotApplicable("the first sizes are not all variable")
    for tensor in tensors:
        row = max(1, math.prod(tensor["shape"][1:]))
        tensor["shape"] = [5000, *tensor["shape"][1:]]
        tensor["data"] = [zero(tensor["datatype"])] * (5000 * row)
    return _whole(infer(probe, raw_request(probe, tensors)))


_HEALTH, _TEXT = sources.grpc_text("Health"), sources.grpc_text("Inference")
_CODES = sources.grpc_doc("statuscodes.md", "Status codes and their use in gRPC")


RULES = (
    Rule("grpc.server.live", MUST, _HEALTH, "ServerLive", server_live),
    Rule("grpc.server.ready", MUST, _HEALTH, "ServerReady", server_ready),
    Rule("grpc.model.ready", MUST, _HEALTH, "ModelReady", model_ready),
    Rule("grpc.server.metadata", MUST, sources.grpc_text("Server Metadata"), "ServerMetadata has name and version",
         server_metadata),
    Rule("grpc.model.metadata", MUST, sources.grpc_text("Model Metadata"), "ModelMetadata has name and tensors",
         model_metadata),
    Rule("grpc.model.metadata.rest", SHOULD, sources.grpc_text("gRPC"), "and says what REST says", same_metadata),
    Rule("grpc.infer.raw", MUST, _RAW, "tensors in raw_input_contents", raw),
    Rule("grpc.infer.typed", MUST, sources.proto("InferTensorContents"), "tensors in typed contents", typed),
    Rule("grpc.infer.same", MUST, _TEXT, "raw and typed give one answer", raw_is_typed),
    Rule("grpc.infer.rest", SHOULD, sources.grpc_text("gRPC"), "gRPC gives the answer of REST", as_rest),
    Rule("grpc.infer.all-or-none", MUST, sources.proto("ModelInferResponse.raw_output_contents"),
         "raw_output_contents for all outputs or none", all_or_none),
    Rule("grpc.infer.sizes", MUST, sources.proto("ModelInferResponse.raw_output_contents"),
         "the sizes of raw outputs are those of their shapes", sizes),
    Rule("grpc.infer.id", MUST, sources.proto("ModelInferRequest.id"), "an id that was given comes back", id_echoed),
    Rule("grpc.infer.outputs", MUST, sources.proto("ModelInferRequest.outputs"),
         "with outputs in the request only those come back", chosen_outputs),
    Rule("grpc.infer.parameters", MUST, sources.proto("InferParameter"), "parameters of each kind are taken",
         parameters),
    Rule("grpc.infer.version", MUST, sources.proto("ModelInferRequest.model_version"),
         "a listed version may be asked for", version),
    Rule("grpc.infer.unknown-field", MUST, Source("https://protobuf.dev/programming-guides/proto3/", "Unknown Fields"),
         "a field of a later proto is ignored", unknown_field),
    Rule("grpc.infer.large", MUST, sources.grpc_wire("Length-Prefixed-Message"), "a batch of 5,000", many_values),
    Rule("grpc.infer.concurrent", MUST, sources.grpc_wire("Stream Identification"),
         "concurrent calls get their own answers", concurrent),
    Rule("grpc.infer.cancelled", MUST, _CODES, "cancelled calls harm nobody", cancelled),
    Rule("grpc.infer.deadline", MUST, sources.grpc_doc("statuscodes.md", "DEADLINE_EXCEEDED"),
         "a deadline that is past ends the call", deadline),
    Rule("grpc.metadata", MUST, sources.grpc_wire("Custom-Metadata"), "metadata that means nothing is ignored",
         metadata_ignored),
    Rule("grpc.compression", MAY, sources.grpc_doc("compression.md", "Specification"), "a gzip message is read",
         compressed),
)  # fmt: skip
