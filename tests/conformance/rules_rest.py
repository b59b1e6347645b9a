"""Rules of REST that hold when all is well: health, metadata, inference."""

from __future__ import annotations

import json
import math
from typing import Any

from . import sources
from .http1 import Reply
from .probe import JSON, Probe, values
from .rule import Departs, Level, NotApplicable, NotOffered, Rule, expect
from .tensors import DATATYPES, flat, nested, same

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


def _object(reply: Reply) -> dict[str, Any]:
    expect(reply.status == 200, reply.said)
    told = reply.json()
    expect(isinstance(told, dict), f"not an object: {reply.said}")
    return dict(told)


def live(probe: Probe) -> str:
    reply = probe.get("/v2/health/live")
    expect(_object(reply).get("live") is True, reply.said)
    return reply.said


def ready(probe: Probe) -> str:
    reply = probe.get("/v2/health/ready")
    expect(reply.status == 200, reply.said)
    return reply.said


def ready_field(probe: Probe) -> str:
    reply = probe.get("/v2/health/ready")
    told = _object(reply)
    expect(any(told.get(name) is True for name in ("live", "ready")), reply.said)
    return reply.said


def server_metadata(probe: Probe) -> str:
    told = _object(probe.get("/v2"))
    expect(all(isinstance(told.get(name), str) for name in ("name", "version")), str(told))
    extensions = told.get("extensions")
    strings = isinstance(extensions, list) and all(isinstance(each, str) for each in extensions)
    expect(strings, f"extensions: {extensions!r}")
    return f"{told['name']} {told['version']}, extensions {', '.join(told['extensions']) or 'none'}"


def server_metadata_slash(probe: Probe) -> str:
    reply = probe.get("/v2/")
    expect(_object(reply) == probe.get("/v2").json(), reply.said)
    return "as GET /v2"


def model_metadata(probe: Probe) -> str:
    told = _object(probe.get(probe.root))
    expect(told.get("name") == probe.target.model, f"name: {told.get('name')!r}")
    expect(isinstance(told.get("platform"), str), f"platform: {told.get('platform')!r}")
    for key in ("inputs", "outputs"):
        expect(isinstance(told.get(key), list), f"{key}: {told.get(key)!r}")
    return f"inputs {_names(told['inputs'])}, outputs {_names(told['outputs'])}"


def _names(specs: list[dict[str, Any]]) -> str:
    return ", ".join(str(spec.get("name")) for spec in specs) or "none"


def tensor_metadata(probe: Probe) -> str:
    specs = [spec for key in ("inputs", "outputs") for spec in probe.metadata.get(key) or []]
    if not specs:
        raise NotApplicable("the metadata declares no tensors")
    for spec in specs:
        expect(isinstance(spec.get("name"), str), f"name: {spec!r}")
        expect(spec.get("datatype") in DATATYPES, f"datatype: {spec!r}")
        expect(_is_shape(spec.get("shape"), -1), f"shape: {spec!r}")
    return f"{len(specs)} tensors with name, datatype and shape"


def _is_shape(shape: object, least: int) -> bool:
    return isinstance(shape, list) and all(type(size) is int and size >= least for size in shape)


def declared_tensors(probe: Probe) -> str:
    for key in ("inputs", "outputs"):
        expect(bool(probe.metadata.get(key)), f"the metadata declares no {key}")
    return "inputs and outputs are declared"


def platform_name(probe: Probe) -> str:
    platform = probe.metadata.get("platform")
    expect(isinstance(platform, str) and "_" in platform.strip("_"), f"platform is {platform!r}")
    return str(platform)


def versions_listed(probe: Probe) -> str:
    versions = probe.metadata.get("versions")
    if versions is None:
        raise NotOffered("the metadata names no versions")
    fits = isinstance(versions, list) and all(isinstance(version, str) for version in versions)
    expect(fits, f"versions: {versions!r}")
    return f"versions {', '.join(versions) or 'none'}"


def version_metadata(probe: Probe) -> str:
    reply = probe.get(f"{probe.root}/versions/{probe.version}")
    expect(_object(reply).get("name") == probe.target.model, reply.said)
    return f"version {probe.version}: {reply.status}"


def version_ready(probe: Probe) -> str:
    reply = probe.get(f"{probe.root}/versions/{probe.version}/ready")
    expect(_object(reply).get("ready") is True, reply.said)
    return reply.said


def version_infer(probe: Probe) -> str:
    path = f"{probe.root}/versions/{probe.version}/infer"
    told = probe.answer(probe.request, path=path)
    return f"version {told.get('model_version')!r} answered"


def version_in_answer(probe: Probe) -> str:
    version = probe.version
    told = probe.reference.get("model_version")
    expect(isinstance(told, str), f"model_version is {told!r} though versions are served")
    expect(told in (probe.metadata.get("versions") or [version]), f"model_version {told!r} is not listed")
    return f"model_version {told}"


def version_absent(probe: Probe) -> str:
    if probe.target.version or probe.metadata.get("versions"):
        raise NotApplicable("versions are served")
    told = probe.reference
    expect("model_version" not in told, f"model_version is {told.get('model_version')!r}")
    return "no model_version"


def model_ready(probe: Probe) -> str:
    reply = probe.get(f"{probe.root}/ready")
    told = _object(reply)
    expect(told.get("name") == probe.target.model and told.get("ready") is True, reply.said)
    return reply.said


def infer(probe: Probe) -> str:
    told = probe.reference
    expect(told.get("model_name") == probe.target.model, f"model_name: {told.get('model_name')!r}")
    expect(bool(told["outputs"]), "no outputs")
    return f"outputs {_names(told['outputs'])}"


def output_fields(probe: Probe) -> str:
    for tensor in probe.reference["outputs"]:
        said = f"{tensor.get('name')}: datatype {tensor.get('datatype')!r}, shape {tensor.get('shape')!r}"
        expect(isinstance(tensor.get("name"), str) and tensor.get("datatype") in DATATYPES, said)
        expect(_is_shape(tensor.get("shape"), 0), said)
        expect(isinstance(tensor.get("data"), list), f"{said}, data {type(tensor.get('data')).__name__}")
    return "name, shape, datatype and data in every output"


def no_nulls(probe: Probe) -> str:
    told = probe.reference
    holders = [("the answer", told), *((str(tensor.get("name")), tensor) for tensor in told["outputs"])]
    nulls = [f"{key} of {name}" for name, holder in holders for key, value in holder.items() if value is None]
    expect(not nulls, f"null: {', '.join(nulls)}")
    return "no field is null"


def output_count(probe: Probe) -> str:
    for tensor in probe.reference["outputs"]:
        count = len(values(tensor))
        expect(count == math.prod(tensor["shape"]), f"{tensor['name']}: {count} values for {tensor['shape']}")
    return "as many values as the shape says"


def all_outputs(probe: Probe) -> str:
    declared = [spec["name"] for spec in probe.metadata.get("outputs") or []]
    if not declared:
        raise NotApplicable("the metadata declares no outputs")
    given = [tensor["name"] for tensor in probe.reference["outputs"]]
    expect(sorted(declared) == sorted(given), f"declared {declared}, given {given}")
    return f"{', '.join(given)}"


def declared_types(probe: Probe) -> str:
    declared = {spec["name"]: spec for spec in probe.metadata.get("outputs") or []}
    if not declared:
        raise NotApplicable("the metadata declares no outputs")
    for tensor in probe.reference["outputs"]:
        spec = declared.get(tensor["name"], tensor)
        expect(tensor["datatype"] == spec["datatype"], f"{tensor['name']}: {tensor['datatype']}")
        expect(
            _within(tensor["shape"], spec["shape"]),
            f"{tensor['name']}: {tensor['shape']} for {spec['shape']}",
        )
    return "datatypes and shapes as declared"


def _within(shape: list[int], declared: list[int]) -> bool:
    return len(shape) == len(declared) and all(
        wanted in (-1, size) for size, wanted in zip(shape, declared, strict=True)
    )


def flat_data(probe: Probe) -> str:
    request = probe.request
    for tensor in request["inputs"]:
        tensor["data"] = list(flat(tensor["data"]))
    _same_answer(probe, probe.answer(request))
    return "the same answer"


def nested_data(probe: Probe) -> str:
    request = probe.request
    if all(len(tensor["shape"]) < 2 for tensor in request["inputs"]):
        raise NotApplicable("no input has two dimensions")
    for tensor in request["inputs"]:
        tensor["data"] = nested(values(tensor), tensor["shape"])
    _same_answer(probe, probe.answer(request))
    return "the same answer"


def _same_answer(probe: Probe, told: dict[str, Any]) -> None:
    for one, other in zip(probe.reference["outputs"], told["outputs"], strict=True):
        expect(same(values(one), values(other)), f"{one['name']}: {values(other)[:6]}, not {values(one)[:6]}")


def id_echoed(probe: Probe) -> str:
    for name in ("42", "A \u00fcber-id \u2713", "x" * 200):
        told = probe.answer({**probe.request, "id": name}).get("id")
        expect(told == name, f"sent {name[:20]!r}, got {told!r}")
    return "also with 200 characters, and beyond ASCII"


def id_made(probe: Probe) -> str:
    request = probe.request
    request.pop("id", None)
    told = probe.answer(request).get("id")
    if not told:
        raise NotOffered(f"id is {told!r}")
    expect(isinstance(told, str), f"id is {told!r}")
    return f"made {told}"


def chosen_outputs(probe: Probe) -> str:
    names = [tensor["name"] for tensor in probe.reference["outputs"]]
    for name in names:
        told = probe.answer({**probe.request, "outputs": [{"name": name}]})
        given = [tensor["name"] for tensor in told["outputs"]]
        expect(given == [name], f"asked for {name}, got {', '.join(given) or 'none'}")
    return f"each of {len(names)} alone"


def parameters(probe: Probe) -> str:
    told = {"a_string": "s", "a_number": 1.5, "an_integer": 3, "a_boolean": True}
    request = {**probe.request, "parameters": told}
    for tensor in request["inputs"]:
        tensor["parameters"] = told
    probe.answer(request)
    return "string, number and boolean"


def unknown_fields(probe: Probe) -> str:
    reply = probe.infer({**probe.request, "not_in_the_protocol": {"a": [1]}})
    if reply.status >= 400:
        raise NotOffered(f"refused: {reply.said}")
    return "ignored"


def content_type_of_answers(probe: Probe) -> str:
    for reply in (probe.get("/v2"), probe.infer(probe.request)):
        kind = reply.headers.get("content-type", "")
        expect(kind.partition(";")[0].strip().lower() == "application/json", f"content-type {kind!r}")
    return "application/json"


def content_type_with_charset(probe: Probe) -> str:
    probe.answer(probe.request, headers=[("content-type", "Application/JSON; charset=utf-8")])
    return "taken"


def concurrent(probe: Probe) -> str:
    """Ids come back on the connection that sent them, however many are open."""
    body = probe.request
    opened = [probe.connect() for _ in range(8)]
    try:
        for number, connection in enumerate(opened):
            content = json.dumps({**body, "id": str(number)}).encode()
            connection.send(probe.message("POST", probe.infer_path, content, [JSON]))
        told = [connection.reply("POST").json().get("id") for connection in opened]
    finally:
        for connection in opened:
            connection.__exit__()
    if told != [str(number) for number in range(8)]:
        raise Departs(f"ids {told}")
    return "8 at once, each with its own id"


_HEALTH, _META, _INFER = "Server Live", "Model Metadata Response JSON Object", "Inference Request JSON Object"
_READY, _OUT = "Server Ready", "Response Output"

RULES = (
    Rule("health.live", MUST, sources.rest(_HEALTH), 'GET /v2/health/live is 200 {"live": true}', live),
    Rule("health.ready", MUST, sources.rest(_READY), "GET /v2/health/ready is 200 when all models are ready", ready),
    Rule("health.ready.field", SHOULD, sources.rest("Server Ready Response JSON Object"),
         'the answer of GET /v2/health/ready is an object with "live" (or "ready") true', ready_field),
    Rule("server.metadata", MUST, sources.rest("Server Metadata Response JSON Object"),
         "GET /v2 has name, version and a list of extensions", server_metadata),
    Rule("server.metadata.slash", SHOULD, sources.openapi("/v2/"), "GET /v2/ is GET /v2", server_metadata_slash),
    Rule("model.metadata", MUST, sources.rest(_META), "the model's metadata has name, platform, inputs and outputs",
         model_metadata),
    Rule("model.metadata.tensors", MUST, sources.rest(_META), "each tensor has a name, a datatype of the protocol "
         "and a shape, -1 for a variable size", tensor_metadata),
    Rule("model.metadata.declared", SHOULD, sources.rest(_META), "the inputs required and the outputs produced "
         "are declared", declared_tensors),
    Rule("model.metadata.platform", SHOULD, sources.rest("Platforms"), "platform has the form <project>_<format>",
         platform_name),
    Rule("model.metadata.versions", MAY, sources.rest(_META), "versions is a list of strings", versions_listed),
    Rule("version.metadata", MUST, sources.rest(_META), "a listed version may be asked for explicitly",
         version_metadata),
    Rule("version.ready", MUST, sources.rest("Model Ready"), "readiness of a listed version", version_ready),
    Rule("version.infer", MUST, sources.rest("Inference"), "inference with a listed version", version_infer),
    Rule("version.answer", SHOULD, sources.rest("Inference Response JSON Object"),
         "model_version names the version that answered", version_in_answer),
    Rule("version.none", SHOULD, sources.rest("Inference Response JSON Object"),
         "a server without versions gives no model_version", version_absent),
    Rule("model.ready", MUST, sources.rest("Model Ready Response JSON Object"),
         'the model\'s readiness is {"name": its name, "ready": true}', model_ready),
    Rule("infer", MUST, sources.rest("Inference Response JSON Object"),
         "a valid request is answered 200 with model_name and outputs", infer),
    Rule("infer.output.fields", MUST, sources.rest(_OUT), "each output has name, shape, datatype and data",
         output_fields),
    Rule("infer.output.optional", MUST, sources.openapi("inference_response"),
         "an optional field is absent or of its type, never null", no_nulls),
    Rule("infer.output.count", MUST, sources.rest("Tensor Data"), "each output has as many values as its shape says",
         output_count),
    Rule("infer.output.all", MUST, sources.rest(_INFER), "without outputs in the request all come back", all_outputs),
    Rule("infer.output.declared", SHOULD, sources.rest(_META), "outputs have the datatypes and shapes declared",
         declared_types),
    Rule("infer.output.chosen", MUST, sources.rest(_INFER), "with outputs in the request only those come back",
         chosen_outputs),
    Rule("infer.data.flat", MUST, sources.rest("Tensor Data"), "data may be flat", flat_data),
    Rule("infer.data.nested", MUST, sources.rest("Tensor Data"), "data may be nested as the shape says", nested_data),
    Rule("infer.id.echoed", MUST, sources.rest(_INFER), "an id that was given comes back", id_echoed),
    Rule("infer.id.made", MAY, sources.rest("Inference Response JSON Object"), "an id is made where none was given",
         id_made),
    Rule("infer.parameters", MUST, sources.rest("Parameters"),
         "parameters that are strings, numbers and booleans are taken", parameters),
    Rule("infer.unknown-fields", MAY, sources.openapi("inference_request"),
         "a field that the protocol does not have is ignored", unknown_fields),
    Rule("infer.concurrent", MUST, sources.rest(_INFER), "concurrent requests get their own answers", concurrent),
    Rule("infer.content-type.charset", SHOULD, sources.http("8.3.1 Media Type"),
         "a content type is read without its case and with its parameters", content_type_with_charset),
    Rule("answer.content-type", SHOULD, sources.http("8.3 Content-Type"), "JSON answers say application/json",
         content_type_of_answers),
)  # fmt: skip
