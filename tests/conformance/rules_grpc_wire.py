"""Rules of how gRPC uses HTTP/2, frame by frame."""

from __future__ import annotations

import struct
from functools import partial

from . import sources
from .grpc_calls import raw_request
from .grpc_messages import SERVICE, message
from .http1 import Address, Reply
from .http2 import DATA, END_STREAM, Http2, frame
from .probe import Probe
from .rule import Level, NotApplicable, Rule, expect

MUST, SHOULD = Level.MUST, Level.SHOULD
Fields = list[tuple[str, str]]
Answer = tuple[Reply, dict[str, str]]  # the answer, and its headers with its trailers
_GRPC: Fields = [("content-type", "application/grpc"), ("te", "trailers")]
_PLAIN: Fields = [("content-type", "text/plain"), ("te", "trailers")]


def _open_grpc(probe: Probe) -> Http2:
    if probe.target.grpc is None:
        raise NotApplicable("no --grpc was given")
    return Http2(Address(*probe.target.grpc), probe.target.timeout)


def _grpc_reply(
    probe: Probe, content: bytes, fields: Fields, method: str = "ModelInfer"
) -> tuple[Reply, dict[str, str]]:
    with _open_grpc(probe) as connection:
        connection.send(connection.request(1, "POST", f"/{SERVICE}/{method}", content, fields))
        reply = connection.reply(1)
        return reply, {**reply.headers, **connection.trailers[1]}


def _prefixed(content: bytes, flag: int = 0) -> bytes:
    return struct.pack(">BI", flag, len(content)) + content


def grpc_answer(probe: Probe) -> str:
    """200, application/grpc, one length-prefixed message, grpc-status in the trailers."""
    reply, told = _grpc_reply(probe, _prefixed(raw_request(probe).SerializeToString()), _GRPC)
    expect(reply.status == 200, f"HTTP status {reply.status}")
    kind = reply.headers.get("content-type", "")
    expect(kind.startswith("application/grpc"), f"content-type {kind!r}")
    expect(
        "grpc-status" not in reply.headers and told.get("grpc-status") == "0",
        f"grpc-status {told.get('grpc-status')!r}",
    )
    flag, size = struct.unpack(">BI", reply.body[:5])
    expect(flag == 0 and size == len(reply.body) - 5, f"{len(reply.body)} bytes, prefix {flag} {size}")
    message("ModelInferResponse").FromString(reply.body[5:])
    return "one message, grpc-status 0 in the trailers"


def _grpc_fails(content: bytes, statuses: tuple[str, ...], probe: Probe, fields: Fields | None = None) -> str:
    try:
        _, told = _grpc_reply(probe, content, _GRPC if fields is None else fields, "ServerLive")
    except EOFError as error:
        return str(error)
    got = told.get("grpc-status", f"none, HTTP {told.get(':status')}")
    expect(got in statuses, f"grpc-status {got}")
    return f"grpc-status {got} {told.get('grpc-message', '')}"


def grpc_content_type(probe: Probe) -> str:
    reply, told = _grpc_reply(
        probe, _prefixed(b""), [("content-type", "text/plain"), ("te", "trailers")], "ServerLive"
    )
    expect(
        reply.status == 415 or told.get("grpc-status", "0") != "0",
        f"HTTP {reply.status}, {told.get('grpc-status')}",
    )
    return f"HTTP {reply.status}"


def grpc_content_type_proto(probe: Probe) -> str:
    fields = [("content-type", "application/grpc+proto"), ("te", "trailers")]
    _, told = _grpc_reply(probe, _prefixed(b""), fields, "ServerLive")
    expect(told.get("grpc-status") == "0", f"grpc-status {told.get('grpc-status')}")
    return "taken"


def grpc_message_encoded(probe: Probe) -> str:
    """grpc-message is percent-encoded ASCII."""
    content = message("ModelReadyRequest")(name="no-such-model-\u2713%").SerializeToString()
    _, told = _grpc_reply(probe, _prefixed(content), _GRPC, "ModelMetadata")
    text = told.get("grpc-message", "")
    expect(text.isascii() and text.isprintable(), f"grpc-message {text!r}")
    return f"grpc-message: {text}"


def grpc_split(probe: Probe) -> str:
    """A message may be cut anywhere into DATA frames."""
    content = _prefixed(raw_request(probe).SerializeToString())
    with _open_grpc(probe) as connection:
        fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "x"),
            (":path", f"/{SERVICE}/ModelInfer"),
        ]
        sent = connection.headers(1, [*fields, *_GRPC], False)
        cut = [content[:3], content[3:6], content[6:]]
        connection.send(sent + b"".join(frame(DATA, 0, 1, part) for part in cut) + frame(DATA, END_STREAM, 1))
        connection.reply(1)
        told = connection.trailers[1].get("grpc-status")
    expect(told == "0", f"grpc-status {told}")
    return "answered"


_PREFIX = sources.grpc_wire("Length-Prefixed-Message")

RULES = (
    Rule("grpc.wire.answer", MUST, sources.grpc_wire("Responses"), "an answer is 200, one message, and trailers",
         grpc_answer),
    Rule("grpc.wire.split", MUST, sources.grpc_wire("Requests"), "a message may be cut into DATA frames", grpc_split),
    Rule("grpc.wire.content-type", SHOULD, sources.grpc_wire("Requests"), "another content-type is not taken for gRPC",
         grpc_content_type),
    Rule("grpc.wire.content-type.proto", MUST, sources.grpc_wire("Content-Type"), "application/grpc+proto is gRPC",
         grpc_content_type_proto),
    Rule("grpc.wire.message", MUST, sources.grpc_wire("Percent-Encoded"), "grpc-message is percent-encoded",
         grpc_message_encoded),
    Rule("grpc.wire.short", SHOULD, _PREFIX, "a message that is cut off fails",
         partial(_grpc_fails, b"\0\0\0\0\x09abc", ("3", "13"))),
    Rule("grpc.wire.empty", SHOULD, _PREFIX, "a call without a message fails",
         partial(_grpc_fails, b"", ("3", "12", "13"))),
    Rule("grpc.wire.flag", SHOULD, sources.grpc_doc("compression.md", "Specification"),
         "a compressed message without grpc-encoding is INTERNAL", partial(_grpc_fails, _prefixed(b"x", 1), ("13",))),
    Rule("grpc.wire.encoding", SHOULD, sources.grpc_doc("compression.md", "Specification"),
         "an unknown grpc-encoding is UNIMPLEMENTED",
         partial(_grpc_fails, _prefixed(b"x", 1), ("12",), fields=[*_GRPC, ("grpc-encoding", "rot13")])),
)  # fmt: skip
