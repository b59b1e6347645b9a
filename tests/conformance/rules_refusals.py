"""Rules of REST for requests that are wrong: the status and the body of each refusal."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from . import sources
from .http1 import Reply
from .probe import JSON, Probe, refused, values
from .rule import Level, NotApplicable, Rule, Source, expect

MUST, SHOULD = Level.MUST, Level.SHOULD
_BAD = frozenset({400, 422})
_RANGES = {"UINT8": 2**8, "UINT16": 2**16, "UINT32": 2**32, "UINT64": 2**64}
_SIGNED = {"INT8": 2**7, "INT16": 2**15, "INT32": 2**31, "INT64": 2**63}

Body = dict[str, Any]


class Wrong(NamedTuple):
    """A wrong request: how it comes from a right one; `must`: a server that answers it departs from a MUST."""

    id: str
    statement: str
    source: Source
    make: Callable[[Body], object]
    must: bool = True
    statuses: frozenset[int] = _BAD


def _first(change: Callable[[Body], object]) -> Callable[[Body], object]:
    def changed(request: Body) -> object:
        change(request["inputs"][0])
        return request

    return changed


def _set(key: str, value: object) -> Callable[[Body], object]:
    return lambda holder: holder.update({key: value}) or holder


def _drop(key: str) -> Callable[[Body], object]:
    return lambda holder: holder.pop(key) and holder


def _other_datatype(tensor: Body) -> None:
    tensor["datatype"] = "INT64" if tensor["datatype"] != "INT64" else "FP32"
    tensor["data"] = [0 for _ in values(tensor)]


def _deeper(tensor: Body) -> None:
    tensor["shape"] = [*tensor["shape"], 1]


def _longer(tensor: Body) -> None:
    """One more along the last size that is not variable."""
    tensor["shape"] = [*tensor["shape"][:-1], tensor["shape"][-1] + 1] if tensor["shape"] else [2]
    tensor["data"] = [values(tensor)[0] if values(tensor) else 0] * math.prod(tensor["shape"])


def _too_few(tensor: Body) -> None:
    tensor["data"] = values(tensor)[:-1]


def _too_many(tensor: Body) -> None:
    tensor["data"] = [*values(tensor), *values(tensor)[:1]]


def _ragged(tensor: Body) -> None:
    flat = values(tensor)
    tensor["data"] = [flat[:1], [flat[1:]]]


def _out_of_range(tensor: Body) -> None:
    largest = _RANGES | _SIGNED
    datatype = tensor["datatype"]
    if datatype in ("BOOL", "BYTES"):
        raise NotApplicable(f"{datatype} has no range")
    tensor["data"] = [10**400 if datatype.startswith("FP") else largest[datatype], *values(tensor)[1:]]


def _negative_size(tensor: Body) -> None:
    tensor["shape"] = [-1 for _ in tensor["shape"]] or [-1]


def _overflowing(tensor: Body) -> None:
    tensor["shape"] = [2**62 for _ in tensor["shape"]] or [2**62]


def _fractional(tensor: Body) -> None:
    tensor["shape"] = [size + 0.5 for size in tensor["shape"]] or [0.5]


def _of_another_kind(tensor: Body) -> None:
    wrong: object = {} if tensor["datatype"] == "BYTES" else "a word"
    tensor["data"] = [wrong, *values(tensor)[1:]]


def _null(tensor: Body) -> None:
    tensor["data"] = [None, *values(tensor)[1:]]


def _twice(request: Body) -> object:
    return {**request, "inputs": [*request["inputs"], copy.deepcopy(request["inputs"][0])]}


def _stranger(request: Body) -> object:
    other = {**request["inputs"][0], "name": "no-such-input"}
    return {**request, "inputs": [*request["inputs"], other]}


def _renamed(request: Body) -> object:
    return {**request, "inputs": [{**tensor, "name": "no-such-input"} for tensor in request["inputs"]]}


def _deep(request: Body) -> object:
    return json.dumps(request).encode()[:-1] + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def _fixed(content: object) -> Callable[[Body], object]:
    return lambda _: content


_INFERENCE, _INPUT = sources.rest("Inference Request JSON Object"), sources.rest("Request Input")
_DATA, _TYPES, _PARAMETERS = (sources.rest(s) for s in ("Tensor Data", "Tensor Data Types", "Parameters"))
_META = sources.rest("Model Metadata Response JSON Object")

WRONG = (
    Wrong("json.empty", "an empty body", _INFERENCE, _fixed(b"")),
    Wrong("json.malformed", "a body that is not JSON", _INFERENCE, _fixed(b'{"inputs": [')),
    Wrong("json.utf8", "a body that is not UTF-8", sources.rfc(8259, "8.1 Character Encoding"),
          lambda r: json.dumps({**r, "id": "@"}).encode().replace(b"@", b"\xff\xfe")),
    Wrong("json.trailing", "words after the object", _INFERENCE, lambda r: json.dumps(r).encode() + b" and more"),
    Wrong("json.deep", "100,000 nested lists", _INFERENCE, _deep, False, frozenset({400, 413, 422})),
    Wrong("json.array", "a list in place of the object", _INFERENCE, lambda r: [r]),
    Wrong("json.null", "null in place of the object", _INFERENCE, _fixed(None)),
    Wrong("inputs.missing", "no inputs", _INFERENCE, _drop("inputs")),
    Wrong("inputs.null", "inputs: null", _INFERENCE, _set("inputs", None)),
    Wrong("inputs.object", "inputs that are no list", _INFERENCE, lambda r: {**r, "inputs": r["inputs"][0]}),
    Wrong("inputs.empty", "an empty list of inputs", _META, _set("inputs", [])),
    Wrong("inputs.strings", "inputs that are strings", _INPUT, _set("inputs", ["x"])),
    Wrong("input.unknown", "only inputs that the model does not have", _META, _renamed),
    Wrong("input.extra", "one input more than the model has", _META, _stranger, False),
    Wrong("input.twice", "one input given twice", _META, _twice, False),
    Wrong("input.name.missing", "an input without a name", _INPUT, _first(_drop("name"))),
    Wrong("input.name.number", "a name that is a number", _INPUT, _first(_set("name", 1))),
    Wrong("input.data.missing", "an input without data", _INPUT, _first(_drop("data"))),
    Wrong("input.data.scalar", "data that is no list", _INPUT, _first(_set("data", "x"))),
    Wrong("datatype.missing", "an input without a datatype", _INPUT, _first(_drop("datatype"))),
    Wrong("datatype.unknown", "a datatype that the protocol does not have", _TYPES, _first(_set("datatype", "FP31"))),
    Wrong("datatype.lower", "a datatype in lower case", _TYPES,
          _first(lambda t: t.update(datatype=t["datatype"].lower()))),
    Wrong("datatype.other", "a datatype that the model does not take", _META, _first(_other_datatype), False),
    Wrong("shape.missing", "an input without a shape", _INPUT, _first(_drop("shape"))),
    Wrong("shape.rank", "one dimension more than declared", _META, _first(_deeper), False),
    Wrong("shape.size", "a size other than declared", _META, _first(_longer), False),
    Wrong("shape.negative", "a negative size", _INPUT, _first(_negative_size)),
    Wrong("shape.overflow", "sizes whose product no machine has", _INPUT, _first(_overflowing)),
    Wrong("shape.fraction", "a size that is no integer", _INPUT, _first(_fractional)),
    Wrong("shape.strings", "sizes that are strings", _INPUT, _first(_set("shape", ["a"]))),
    Wrong("data.few", "fewer values than the shape says", _DATA, _first(_too_few)),
    Wrong("data.many", "more values than the shape says", _DATA, _first(_too_many)),
    Wrong("data.ragged", "lists of unequal length", _DATA, _first(_ragged)),
    Wrong("data.range", "a value beyond the datatype", _DATA, _first(_out_of_range), False),
    Wrong("data.kind", "a value of another kind than the datatype", _DATA, _first(_of_another_kind), False),
    Wrong("data.null", "null among the values", _DATA, _first(_null), False),
    Wrong("output.unknown", "an output that the model does not have", sources.rest("Request Output"),
          _set("outputs", [{"name": "no-such-output"}])),
    Wrong("output.name.missing", "an output without a name", sources.rest("Request Output"), _set("outputs", [{}])),
    Wrong("id.number", "an id that is a number", _INFERENCE, _set("id", 7), False),
    Wrong("parameters.list", "parameters that are a list", _PARAMETERS, _set("parameters", [1])),
    Wrong("parameters.object", "a parameter that is an object", _PARAMETERS, _set("parameters", {"a": {}}), False),
)  # fmt: skip


def _reply(probe: Probe, wrong: Wrong) -> Reply:
    return probe.infer(wrong.make(_shaped(probe.request, wrong)), [JSON])


def _shaped(request: Body, wrong: Wrong) -> Body:
    tensor = request["inputs"][0]
    if wrong.id == "data.ragged" and len(values(tensor)) < 2:
        raise NotApplicable("the first input has fewer than two values")
    if wrong.id in ("data.range", "data.kind", "data.null", "data.few") and not values(tensor):
        raise NotApplicable("the first input has no values")
    return request


def _check_body(wrong: Wrong, probe: Probe) -> str:
    reply = _reply(probe, wrong)
    if reply.status < 400 and not wrong.must:
        raise NotApplicable(f"accepted: {reply.status}")
    return refused(reply)


def _check_status(wrong: Wrong, probe: Probe) -> str:
    reply = _reply(probe, wrong)
    wanted = " or ".join(map(str, sorted(wrong.statuses)))
    expect(reply.status in wrong.statuses, f"{reply.status}, not {wanted}")
    return str(reply.status)


def absent_model(probe: Probe) -> str:
    """The four requests that name a model, for one that is not there."""
    return _absent(probe, "/v2/models/no-such-model")


def absent_version(probe: Probe) -> str:
    return _absent(probe, f"{probe.root}/versions/no-such-version")


def _absent(probe: Probe, root: str) -> str:
    replies = _asked(probe, root)
    for reply in replies:
        refused(reply)
    return ", ".join(str(reply.status) for reply in replies)


def _asked(probe: Probe, root: str) -> list[Reply]:
    return [probe.get(root), probe.get(f"{root}/ready"), probe.infer(probe.request, path=f"{root}/infer")]


def _absent_status(root: str, probe: Probe) -> str:
    said = ", ".join(str(reply.status) for reply in _asked(probe, root.format(root=probe.root)))
    expect(said == "404, 404, 404", f"metadata, ready, infer: {said}")
    return said


def too_large(probe: Probe) -> str:
    limit = probe.target.max_body
    if limit is None:
        raise NotApplicable("no --max-body was given")
    reply = probe.infer(b" " * (limit + 1))
    said = refused(reply)
    expect(reply.status == 413, said)
    return said


def other_content_type(probe: Probe) -> str:
    reply = probe.infer(probe.request, [("content-type", "text/csv")])
    if reply.status < 400:
        raise NotApplicable("accepted: any content type is read as JSON")
    said = refused(reply)
    expect(reply.status == 415, said)
    return said


def unknown_path(probe: Probe) -> str:
    reply = probe.get("/v2/no-such-path")
    expect(reply.status == 404, reply.said)
    return str(reply.status)


def unknown_path_body(probe: Probe) -> str:
    return refused(probe.get("/v2/no-such-path"))


def alive_after_all(probe: Probe) -> str:
    for wrong in WRONG:
        probe.infer(wrong.make(probe.request))
    probe.answer(probe.request)
    return f"after {len(WRONG)} wrong requests a right one is answered"


_ERROR = sources.rest("Inference Response JSON Error Object")
_NOT_FOUND = sources.http("15.5.5 404 Not Found")


def _rules(wrong: Wrong) -> tuple[Rule, Rule]:
    level = MUST if wrong.must else SHOULD
    told = f'{wrong.statement}: refused with {{"error": string}}'
    status = " or ".join(map(str, sorted(wrong.statuses)))
    return (
        Rule(f"refuse.{wrong.id}", MUST, _ERROR if level is MUST else wrong.source, told, partial(_check_body, wrong)),
        Rule(f"refuse.{wrong.id}.status", SHOULD, wrong.source, f"{wrong.statement}: the status is {status}",
             partial(_check_status, wrong)),
    )  # fmt: skip


RULES = (
    *(rule for wrong in WRONG for rule in _rules(wrong)),
    Rule("refuse.model", MUST, _ERROR, 'a model that is not there: refused with {"error": string}', absent_model),
    Rule("refuse.model.status", SHOULD, _NOT_FOUND, "a model that is not there: the status is 404",
         partial(_absent_status, "/v2/models/no-such-model")),
    Rule("refuse.version", MUST, _ERROR, 'a version that is not there: refused with {"error": string}',
         absent_version),
    Rule("refuse.version.status", SHOULD, _NOT_FOUND, "a version that is not there: the status is 404",
         partial(_absent_status, "{root}/versions/no-such-version")),
    Rule("refuse.path", SHOULD, _NOT_FOUND, "a path that is not there is 404", unknown_path),
    Rule("refuse.path.body", SHOULD, _ERROR, 'a path that is not there: {"error": string}', unknown_path_body),
    Rule("refuse.too-large", SHOULD, sources.http("15.5.14 413 Content Too Large"),
         "a body above the limit is 413", too_large),
    Rule("refuse.content-type", SHOULD, sources.http("15.5.16 415 Unsupported Media Type"),
         "a content type that is not taken is 415", other_content_type),
    Rule("refuse.alive", MUST, _INFERENCE, "wrong requests do not harm the server", alive_after_all),
)  # fmt: skip
