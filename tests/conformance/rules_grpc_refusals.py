"""Rules of the protocol over gRPC for calls that are wrong: the status of each refusal."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import grpc

from . import sources
from .grpc_calls import call, channel, raw_request, said, status, typed_request
from .grpc_messages import message
from .probe import Probe
from .rule import Departs, Level, NotApplicable, Rule, Source, expect

MUST, SHOULD = Level.MUST, Level.SHOULD
_CALLER = ("NOT_FOUND", "INVALID_ARGUMENT", "OUT_OF_RANGE", "FAILED_PRECONDITION")


class Wrong(NamedTuple):
    """A wrong call: what is done to a right one."""

    id: str
    statement: str
    change: Callable[[Any], object]
    source: Source = sources.grpc_text("Inference")
    codes: tuple[str, ...] = _CALLER
    form: Callable[[Probe], Any] = raw_request
    must: bool = True


def _add_input(request: Any) -> None:
    request.inputs.add().CopyFrom(request.inputs[0])
    request.raw_input_contents.append(request.raw_input_contents[0])


def _both(request: Any) -> None:
    request.inputs[0].contents.fp32_contents.append(0)


def _drop_raw(request: Any) -> None:
    del request.raw_input_contents[-1]


def _one_typed_value_more(request: Any) -> None:
    field, values = request.inputs[0].contents.ListFields()[0]
    getattr(request.inputs[0].contents, field.name).append(values[0])


def _change_raw(change: Callable[[bytes], bytes]) -> Callable[[Any], None]:
    def changed(request: Any) -> None:
        request.raw_input_contents[0] = change(request.raw_input_contents[0])

    return changed


def _set(**fields: Any) -> Callable[[Any], None]:
    def changed(request: Any) -> None:
        for name, value in fields.items():
            setattr(request.inputs[0], name, value)

    return changed


def _shape(change: Callable[[list[int]], list[int]]) -> Callable[[Any], None]:
    def changed(request: Any) -> None:
        request.inputs[0].shape[:] = change(list(request.inputs[0].shape))

    return changed


_RAW = sources.proto("ModelInferRequest.raw_input_contents")
WRONG = (
    Wrong("model", "a model that is not there", lambda r: setattr(r, "model_name", "no-such-model"),
          codes=("NOT_FOUND",)),
    Wrong("version", "a version that is not there", lambda r: setattr(r, "model_version", "no-such-version"),
          codes=("NOT_FOUND",), must=False),
    Wrong("input.unknown", "an input that the model does not have", _set(name="no-such-input")),
    Wrong("input.none", "no inputs", lambda r: (r.ClearField("inputs"), r.ClearField("raw_input_contents"))),
    Wrong("input.twice", "an input given twice", _add_input, must=False),
    Wrong("output.unknown", "an output that the model does not have", lambda r: r.outputs.add(name="no-such-output")),
    Wrong("datatype", "a datatype that the protocol does not have", _set(datatype="FP31")),
    Wrong("shape.rank", "one dimension more than declared", _shape(lambda shape: [*shape, 1]), must=False),
    Wrong("shape.negative", "a negative size", _shape(lambda shape: [-1 for _ in shape])),
    Wrong("shape.overflow", "sizes whose product no machine has", _shape(lambda shape: [2**62 for _ in shape])),
    Wrong("raw.short", "raw bytes fewer than the shape says", _change_raw(lambda raw: raw[:-1]), _RAW),
    Wrong("raw.long", "raw bytes more than the shape says", _change_raw(lambda raw: raw + b"\0" * 8), _RAW),
    Wrong("raw.missing", "an input without its raw bytes", _drop_raw, _RAW),
    Wrong("raw.extra", "raw bytes without their input", lambda r: r.raw_input_contents.append(b"1234"), _RAW),
    Wrong("raw.both", "raw bytes and contents in one request", _both, _RAW),
    Wrong("typed.many", "typed values more than the shape says", _one_typed_value_more,
          sources.proto("InferTensorContents"), form=typed_request),
)  # fmt: skip


def _fail(wrong: Wrong, probe: Probe) -> Any:
    request = wrong.form(probe)
    if wrong.id.startswith("typed") and not request.inputs[0].contents.ListFields():
        raise NotApplicable("the first input has no values")
    if wrong.id == "raw.short" and not request.raw_input_contents[0]:
        raise NotApplicable("the first input has no bytes")
    wrong.change(request)
    return status(probe, "ModelInfer", request.SerializeToString())


def _refuses(wrong: Wrong, probe: Probe) -> str:
    try:
        error = _fail(wrong, probe)
    except Departs:
        if wrong.must:
            raise
        raise NotApplicable("accepted") from None
    expect(bool(error.details()), f"{error.code().name} without a message")
    return said(error)


def _code(wrong: Wrong, probe: Probe) -> str:
    error = _fail(wrong, probe)
    expect(error.code().name in wrong.codes, said(error))
    return str(error.code().name)


def absent_model(method: str, probe: Probe) -> str:
    request = message(f"{method}Request")(name="no-such-model").SerializeToString()
    try:
        answer = call(probe, method, request)
    except grpc.RpcError as error:
        return said(error)
    told = message(f"{method}Response").FromString(answer)
    expect(method == "ModelReady" and not told.ready, f"accepted: {told}")
    return "ready is false"


def absent_model_code(method: str, probe: Probe) -> str:
    told = absent_model(method, probe)
    expect(told.startswith(("NOT_FOUND", "ready is false")), told)
    return told


def not_a_message(probe: Probe) -> str:
    told = said(status(probe, "ModelInfer", b"\xff\xff\xff\xff"))
    expect(told.startswith(("INTERNAL", "INVALID_ARGUMENT")), told)
    return told


def unknown_method(probe: Probe) -> str:
    told = said(status(probe, "NoSuchMethod", b""))
    expect(told.startswith("UNIMPLEMENTED"), told)
    return told


def unknown_service(probe: Probe) -> str:
    with channel(probe) as opened:
        try:
            opened.unary_unary("/no.such.Service/Call", None, None)(b"", timeout=probe.target.timeout)
        except grpc.RpcError as error:
            told = said(error)
            expect(told.startswith("UNIMPLEMENTED"), told)
            return told
    raise Departs("accepted")


_HEALTH = sources.grpc_text("Health")
_CODES = sources.grpc_doc("statuscodes.md", "Status codes and their use in gRPC")


def _wrong_rules(wrong: Wrong) -> tuple[Rule, Rule]:
    return (
        Rule(f"grpc.refuse.{wrong.id}", MUST if wrong.must else SHOULD, wrong.source,
             f"{wrong.statement}: an error status with a message", partial(_refuses, wrong)),
        Rule(f"grpc.refuse.{wrong.id}.code", SHOULD, _CODES,
             f"{wrong.statement}: {' or '.join(wrong.codes)}", partial(_code, wrong)),
    )  # fmt: skip


RULES = (
    Rule("grpc.method.unknown", MUST, _CODES, "an unknown method is UNIMPLEMENTED", unknown_method),
    Rule("grpc.service.unknown", MUST, _CODES, "an unknown service is UNIMPLEMENTED", unknown_service),
    Rule("grpc.refuse.bytes", SHOULD, _CODES, "bytes that are no message: INTERNAL or INVALID_ARGUMENT",
         not_a_message),
    *(Rule(f"grpc.refuse.{m}", MUST, _HEALTH, f"{m} of a model that is not there fails (or is not ready)",
           partial(absent_model, m)) for m in ("ModelReady", "ModelMetadata")),
    *(Rule(f"grpc.refuse.{m}.code", SHOULD, _CODES, f"{m} of a model that is not there: NOT_FOUND",
           partial(absent_model_code, m)) for m in ("ModelReady", "ModelMetadata")),
    *(rule for wrong in WRONG for rule in _wrong_rules(wrong)),
)  # fmt: skip
