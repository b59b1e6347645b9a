"""Rules of the binary tensor data extension: only for who offers it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from . import sources
from .http1 import Reply
from .probe import HEADER_LENGTH, JSON, OCTETS, Probe, binary_headers, binary_message, refused
from .rule import Departs, Level, NotApplicable, NotOffered, Rule, expect
from .tensors import flat, packed, same, unpacked

MUST, SHOULD = Level.MUST, Level.SHOULD
_NAMES = ("binary_tensor_data", "binary_tensor", "binary_data")

Outputs = dict[str, tuple[bool, list[int], list[Any]]]  # name -> came as bytes, shape, values


def _announced(probe: Probe) -> bool:
    return any(name in _NAMES for name in probe.get("/v2").json().get("extensions") or [])


def _message(probe: Probe) -> tuple[bytes, int]:
    """The valid request as bytes; FP16 cannot come back as JSON, so bytes are asked for where it would."""
    request = probe.anything
    if any(spec["datatype"] == "FP16" for spec in probe.metadata.get("outputs") or []):
        request["parameters"] = {**(request.get("parameters") or {}), "binary_data_output": True}
    return binary_message(request)


def _whole(probe: Probe) -> Reply:
    body, length = _message(probe)
    return probe.infer(body, binary_headers(length))


def offered(probe: Probe) -> None:
    """Raises unless binary inputs are taken; who announces them and refuses departs."""
    reply = _whole(probe)
    if reply.status == 200:
        return
    expect(not _announced(probe), f"announced, but: {reply.said}")
    raise NotOffered(reply.said)


def read(reply: Reply) -> Outputs:
    """The outputs of an answer, whichever way each came; Departs if the bytes do not add up."""
    expect(reply.status == 200, reply.said)
    length = int(reply.headers.get(HEADER_LENGTH, len(reply.body)))
    expect(0 < length <= len(reply.body), f"{HEADER_LENGTH}: {length} of {len(reply.body)} bytes")
    told = Reply(200, {}, reply.body[:length]).json()
    outputs: Outputs = {}
    position = length
    for tensor in told["outputs"]:
        size = (tensor.get("parameters") or {}).get("binary_data_size")
        content = reply.body[position : position + (size or 0)]
        expect(len(content) == (size or 0), f"{tensor['name']}: {size} bytes declared, {len(content)} there")
        outputs[tensor["name"]] = (size is not None, tensor["shape"], _values(tensor, content, size))
        position += size or 0
    expect(position == len(reply.body), f"{len(reply.body) - position} bytes too many")
    return outputs


def _values(tensor: Mapping[str, Any], content: bytes, size: int | None) -> list[Any]:
    if size is None:
        return list(flat(tensor["data"]))
    expect("data" not in tensor, f"{tensor['name']} has binary_data_size and data")
    try:
        return unpacked(tensor["datatype"], content)
    except (ValueError, struct.error) as error:
        raise Departs(f"{tensor['name']}: {error}") from None


def _as_json(probe: Probe) -> Outputs:
    """The reference: as JSON where JSON carries it, else as bytes."""
    try:
        return read(probe.infer(probe.request))
    except NotApplicable:
        return read(_whole(probe))


def _equal(probe: Probe, told: Outputs) -> None:
    for name, (_, shape, values) in _as_json(probe).items():
        if name in told:
            _, found, given = told[name]
            expect(found == shape and same(given, values), f"{name}: {given[:4]}, not {values[:4]}")


def announced(probe: Probe) -> str:
    offered(probe)
    expect(_announced(probe), "offered, but not among the extensions of GET /v2")
    return "binary_tensor_data"


def inputs(probe: Probe) -> str:
    offered(probe)
    told = read(_whole(probe))
    _equal(probe, told)
    return "the answer of JSON"


def mixed(probe: Probe) -> str:
    offered(probe)
    request = probe.request
    names = [tensor["name"] for tensor in request["inputs"]]
    if len(names) < 2:
        raise NotApplicable("the model has one input")
    for name in names:
        body, length = binary_message(request, [name])
        _equal(probe, read(probe.infer(body, binary_headers(length))))
    return f"each of {len(names)} inputs alone as bytes"


def _ask_outputs(
    probe: Probe, parameters: dict[str, Any] | None, outputs: list[dict[str, Any]] | None
) -> Outputs:
    body, length = binary_message(_with(probe.anything, parameters, outputs))
    return read(probe.infer(body, binary_headers(length)))


def _needs_json(probe: Probe) -> None:
    if any(spec["datatype"] == "FP16" for spec in probe.metadata.get("outputs") or []):
        raise NotApplicable("the model gives FP16, which JSON does not carry")


def _with(request: dict[str, Any], parameters: object, outputs: object) -> dict[str, Any]:
    if parameters is not None:
        request["parameters"] = parameters
    if outputs is not None:
        request["outputs"] = outputs
    return request


def _requested(names: Iterator[str] | list[str], binary: bool) -> list[dict[str, Any]]:
    return [{"name": name, "parameters": {"binary_data": binary}} for name in names]


def all_outputs(probe: Probe) -> str:
    offered(probe)
    told = _ask_outputs(probe, {"binary_data_output": True}, None)
    expect(
        all(binary for binary, _, _ in told.values()), f"as JSON: {[n for n, o in told.items() if not o[0]]}"
    )
    _equal(probe, told)
    return f"{len(told)} outputs as bytes"


def each_output(probe: Probe) -> str:
    offered(probe)
    names = list(_as_json(probe))
    for name in names:
        told = _ask_outputs(probe, None, _requested([name], True))
        expect(list(told) == [name] and told[name][0], f"{name}: {'JSON' if name in told else list(told)}")
        _equal(probe, told)
    return f"each of {len(names)} outputs alone"


def some_outputs(probe: Probe) -> str:
    offered(probe)
    names = list(_as_json(probe))
    if len(names) < 2:
        raise NotApplicable("the model has one output")
    told = _ask_outputs(probe, None, _requested(names[:1], True) + _requested(names[1:], False))
    expect([told[name][0] for name in names] == [True] + [False] * (len(names) - 1), str(_forms(told)))
    _equal(probe, told)
    return "one as bytes, the others as JSON"


def _forms(told: Outputs) -> dict[str, str]:
    return {name: "bytes" if output[0] else "JSON" for name, output in told.items()}


def precedence(probe: Probe) -> str:
    offered(probe)
    _needs_json(probe)
    names = list(_as_json(probe))
    for whole in (True, False):
        told = _ask_outputs(probe, {"binary_data_output": whole}, _requested(names, not whole))
        expect(all(o[0] is not whole for o in told.values()), f"binary_data_output {whole}: {_forms(told)}")
        _equal(probe, told)
    return "binary_data of an output wins"


def default_json(probe: Probe) -> str:
    offered(probe)
    _needs_json(probe)
    told = _ask_outputs(probe, None, None)
    expect(not any(output[0] for output in told.values()), str(_forms(told)))
    return "JSON, unless asked"


def from_json(probe: Probe) -> str:
    offered(probe)
    request = _with(probe.request, {"binary_data_output": True}, None)
    told = read(probe.infer(request, [JSON]))
    expect(all(output[0] for output in told.values()), str(_forms(told)))
    _equal(probe, told)
    return "bytes to a request that is JSON"


def content_type(probe: Probe) -> str:
    offered(probe)
    body, length = binary_message(_with(probe.anything, {"binary_data_output": True}, None))
    reply = probe.infer(body, binary_headers(length))
    expect(reply.headers.get("content-type") == OCTETS, f"content-type {reply.headers.get('content-type')!r}")
    return OCTETS


def header_case(probe: Probe) -> str:
    offered(probe)
    body, length = _message(probe)
    fields = [("Content-Type", OCTETS), ("Inference-Header-Content-Length", str(length))]
    _equal(probe, read(probe.infer(body, fields)))
    return "taken"


def all_json_with_header(probe: Probe) -> str:
    offered(probe)
    content = json.dumps(probe.request).encode()
    _equal(probe, read(probe.infer(content, binary_headers(len(content)))))
    return "taken"


class Broken(NamedTuple):
    """A binary request that is wrong: from JSON text, raw bytes and header value to what is sent."""

    id: str
    statement: str
    make: Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]
    header: Callable[[int, int], str | None] = lambda length, _: str(length)


def _keep(told: dict[str, Any], raw: bytes) -> tuple[dict[str, Any], bytes]:
    return told, raw


def _size(change: Callable[[int], object]) -> Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]:
    def changed(told: dict[str, Any], raw: bytes) -> tuple[dict[str, Any], bytes]:
        parameters = told["inputs"][0]["parameters"]
        parameters["binary_data_size"] = change(parameters["binary_data_size"])
        return told, raw

    return changed


def _size_and_bytes(told: dict[str, Any], raw: bytes) -> tuple[dict[str, Any], bytes]:
    told["inputs"][0]["parameters"]["binary_data_size"] += 8
    return told, b"\0" * 8 + raw


def _data_too(told: dict[str, Any], raw: bytes) -> tuple[dict[str, Any], bytes]:
    told["inputs"][0]["data"] = [0]
    return told, raw


def _text_length(told: dict[str, Any], raw: bytes) -> tuple[dict[str, Any], bytes]:
    """An element of BYTES that says it is longer than all there is."""
    tensor = told["inputs"][0]
    rest = raw[tensor["parameters"]["binary_data_size"] :]
    content = struct.pack("<I", 2**32 - 1)
    tensor.update(datatype="BYTES", shape=[1], parameters={"binary_data_size": len(content)})
    return told, content + rest


_BROKEN = (
    Broken("header.missing", "bytes without Inference-Header-Content-Length", _keep, lambda *_: None),
    Broken("header.word", "a header length that is no number", _keep, lambda *_: "many"),
    Broken("header.negative", "a negative header length", _keep, lambda *_: "-1"),
    Broken("header.beyond", "a header length beyond the body", _keep, lambda _, whole: str(whole + 1)),
    Broken("header.short", "a header length that cuts the JSON", _keep, lambda length, _: str(length - 1)),
    Broken("header.huge", "a header length of 30 digits", _keep, lambda *_: "9" * 30),
    Broken("size.beyond", "a binary_data_size beyond the body", _size(lambda size: size + 1)),
    Broken("size.short", "bytes that no tensor claims", _size(lambda size: size - 1)),
    Broken("size.negative", "a negative binary_data_size", _size(lambda size: -size - 1)),
    Broken("size.string", "a binary_data_size that is a string", _size(str)),
    Broken("size.huge", "a binary_data_size of 2^62", _size(lambda _: 2**62)),
    Broken("size.shape", "a binary_data_size that the shape does not give", _size_and_bytes),
    Broken("bytes.trailing", "bytes after the last tensor", lambda told, raw: (told, raw + b"\0")),
    Broken("bytes.missing", "bytes missing from the last tensor", lambda told, raw: (told, raw[:-1])),
    Broken("data.both", "binary_data_size and data in one input", _data_too),
    Broken("text.length", "an element of BYTES longer than the body", _text_length),
)  # fmt: skip


def _broken_reply(broken: Broken, probe: Probe) -> Reply:
    offered(probe)
    body, length = _message(probe)
    told, raw = broken.make(json.loads(body[:length]), body[length:])
    text = json.dumps(told).encode()
    header = broken.header(len(text), len(text) + len(raw))
    named = [] if header is None else [(HEADER_LENGTH, header)]
    return probe.infer(text + raw, [("content-type", OCTETS), *named])


def _refuses(broken: Broken, probe: Probe) -> str:
    return refused(_broken_reply(broken, probe))


def _status(broken: Broken, probe: Probe) -> str:
    reply = _broken_reply(broken, probe)
    expect(reply.status in (400, 415, 422), reply.said)
    return str(reply.status)


def half_precision(probe: Probe) -> str:
    offered(probe)
    specs = [spec for key in ("inputs", "outputs") for spec in probe.metadata.get(key) or []]
    if not any(spec["datatype"] == "FP16" for spec in specs):
        raise NotApplicable("the model has no FP16")
    read(_whole(probe))
    told = _ask_outputs(probe, {"binary_data_output": True}, None)
    return f"{', '.join(told)}"


def texts(probe: Probe) -> str:
    offered(probe)
    request = probe.anything
    tensors = [tensor for tensor in request["inputs"] if tensor["datatype"] == "BYTES"]
    if not tensors:
        raise NotApplicable("no input is BYTES")
    for tensor in tensors:
        count = len(list(flat(tensor["data"])))
        tensor["data"] = [f"w\u00f6rd {number}" for number in range(count)]
        expect(len(packed("BYTES", tensor["data"])) > 0, "no bytes")
    body, length = binary_message(request)
    read(probe.infer(body, binary_headers(length)))
    return "each element behind its length of 4 bytes"


_EXT, _PARAMS = sources.binary("Overview"), sources.binary("Extension Parameters")
_REQUEST, _RESPONSE = sources.binary("Binary Tensor Request"), sources.binary("Binary Tensor Response")
_ERROR = sources.rest("Inference Response JSON Error Object")

RULES = (
    Rule("binary.announced", SHOULD, sources.rest("Server Metadata Response JSON Object"),
         "who takes binary tensors says so in GET /v2", announced),
    Rule("binary.inputs", MUST, _REQUEST, "inputs as bytes behind the JSON", inputs),
    Rule("binary.inputs.mixed", MUST, _REQUEST, "some inputs as bytes, the others as JSON", mixed),
    Rule("binary.inputs.texts", MUST, _EXT, "BYTES as bytes", texts),
    Rule("binary.inputs.json", SHOULD, _REQUEST, "a header length that is all of the body", all_json_with_header),
    Rule("binary.header.case", MUST, sources.http("5.1 Field Names"), "the header's name in any case", header_case),
    Rule("binary.fp16", MUST, _EXT, "FP16 as bytes", half_precision),
    Rule("binary.outputs.default", MUST, _PARAMS, "outputs are JSON unless asked otherwise", default_json),
    Rule("binary.outputs.all", MUST, _PARAMS, "binary_data_output: every output as bytes", all_outputs),
    Rule("binary.outputs.each", MUST, _PARAMS, "binary_data: this output as bytes", each_output),
    Rule("binary.outputs.some", MUST, _RESPONSE, "some outputs as bytes, the others as JSON", some_outputs),
    Rule("binary.outputs.precedence", MUST, _PARAMS, "binary_data wins over binary_data_output", precedence),
    Rule("binary.outputs.json-request", MUST, _PARAMS, "a JSON request may ask for bytes", from_json),
    Rule("binary.outputs.content-type", SHOULD, _RESPONSE, "an answer with bytes says application/octet-stream",
         content_type),
    *(Rule(f"binary.refuse.{b.id}", MUST, _ERROR, f'{b.statement}: refused with {{"error": string}}',
           partial(_refuses, b)) for b in _BROKEN),
    *(Rule(f"binary.refuse.{b.id}.status", SHOULD, _ERROR, f"{b.statement}: the status is 400",
           partial(_status, b)) for b in _BROKEN),
)  # fmt: skip
