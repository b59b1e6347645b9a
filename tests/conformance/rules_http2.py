"""Rules of HTTP/2 with prior knowledge: only for who offers it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

from . import sources
from .http1 import Reply
from .http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Http2,
    frame,
    settings,
)
from .probe import JSON, Probe, answered, refused
from .rule import Departs, Level, NotApplicable, Rule, expect

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY
LIVE = "/v2/health/live"
Fields = list[tuple[str, str]]
_GET: Fields = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", LIVE)]


def _open(probe: Probe, **options: Any) -> Http2:
    return Http2(probe.address, probe.target.timeout, **options)


def _infer(
    connection: Http2, probe: Probe, stream: int, name: str = "1", fields: Fields | None = None
) -> bytes:
    body = json.dumps({**probe.request, "id": name}).encode()
    return connection.request(stream, "POST", probe.infer_path, body, [JSON] if fields is None else fields)


def prior_knowledge(probe: Probe) -> str:
    with _open(probe) as connection:
        connection.send(connection.request(1, "GET", LIVE))
        reply = connection.reply(1)
    expect(reply.status == 200, reply.said)
    return "on the port of HTTP/1.1"


def infer(probe: Probe) -> str:
    with _open(probe) as connection:
        connection.send(_infer(connection, probe, 1))
        told = answered(connection.reply(1))
    expect(told.get("id") == "1", f"id {told.get('id')!r}")
    return "answered"


def multiplexed(probe: Probe) -> str:
    streams = range(1, 33, 2)
    with _open(probe) as connection:
        connection.send(b"".join(_infer(connection, probe, stream, str(stream)) for stream in streams))
        told = [answered(connection.reply(stream)).get("id") for stream in streams]
    expect(told == [str(stream) for stream in streams], f"ids {told}")
    return f"{len(told)} streams at once"


def refusal(probe: Probe) -> str:
    with _open(probe) as connection:
        connection.send(connection.request(1, "POST", probe.infer_path, b"{", [JSON]))
        said = refused(connection.reply(1))
        connection.send(_infer(connection, probe, 3))
        answered(connection.reply(3))
    return said


def head(probe: Probe) -> str:
    with _open(probe) as connection:
        connection.send(connection.request(1, "HEAD", LIVE))
        reply = connection.reply(1)
    expect(reply.status == 200 and not reply.body, reply.said)
    return "no content"


def ping(probe: Probe) -> str:
    with _open(probe) as connection:
        connection.send(frame(PING, 0, 0, b"8 bytes!"))
        got = connection.until(lambda frame: frame.kind == PING)
    expect(got.flags == ACK and got.payload == b"8 bytes!", f"{got}")
    return "acknowledged"


def settings_acknowledged(probe: Probe) -> str:
    with _open(probe, opening=settings((3, 10))) as connection:
        connection.until(lambda frame: frame.kind == SETTINGS and frame.flags == ACK)
    return "acknowledged"


def unknown_frame(probe: Probe) -> str:
    with _open(probe) as connection:
        connection.send(frame(0xBE, 0x5A, 0, b"new") + connection.request(1, "GET", LIVE))
        expect(connection.reply(1).status == 200, "not answered")
    return "ignored"


def unknown_setting(probe: Probe) -> str:
    with _open(probe, opening=settings((0xFEFE, 1))) as connection:
        connection.send(connection.request(1, "GET", LIVE))
        expect(connection.reply(1).status == 200, "not answered")
    return "ignored"


def continuation(probe: Probe) -> str:
    with _open(probe) as connection:
        block = connection.block(_GET)
        first, second = (
            frame(HEADERS, END_STREAM, 1, block[:3]),
            frame(CONTINUATION, END_HEADERS, 1, block[3:]),
        )
        connection.send(first + second)
        expect(connection.reply(1).status == 200, "not answered")
    return "read"


def padding(probe: Probe) -> str:
    body = json.dumps(probe.request).encode()
    with _open(probe) as connection:
        fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "x"),
            (":path", probe.infer_path),
            JSON,
        ]
        padded = frame(DATA, END_STREAM | 8, 1, b"\x05" + body + b"\0" * 5)
        connection.send(connection.headers(1, fields, False) + padded)
        answered(connection.reply(1))
    return "taken off"


def cookie_crumbs(probe: Probe) -> str:
    with _open(probe) as connection:
        connection.send(connection.request(1, "GET", LIVE, fields=[("cookie", "a=b"), ("cookie", "c=d")]))
        expect(connection.reply(1).status == 200, "not answered")
    return "taken"


def small_windows(probe: Probe) -> str:
    """A client whose window is 1 byte gets 1 byte, then the rest as it grants it."""
    with _open(probe, generous=False, opening=settings((4, 1))) as connection:
        connection.send(connection.request(1, "GET", LIVE))
        while 1 not in connection.ended:
            got = connection.frame()
            if got.kind == DATA and got.payload:
                expect(len(got.payload) == 1, f"{len(got.payload)} bytes into a window of 1")
                connection.grant(1, 1)
        told = Reply(200, {}, connection.bodies[1]).json()
    expect(told.get("live") is True, f"{told}")
    return "one byte at a time"


def large_upload(probe: Probe) -> str:
    """A body of 200,000 bytes needs windows that grow."""
    body = json.dumps(probe.request).encode().ljust(200_000)
    limit = probe.target.max_body
    if limit is not None and limit < len(body):
        raise NotApplicable(f"the limit of a body is {limit}")
    with _open(probe) as connection:
        _upload(connection, probe, body)
        answered(connection.reply(1))
    return "answered"


def _upload(connection: Http2, probe: Probe, body: bytes) -> None:
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", probe.infer_path),
        JSON,
    ]
    connection.send(connection.headers(1, fields, False))
    windows = {0: 65_535, 1: connection.initial_window}
    while body:
        while (room := min(16_384, len(body), *windows.values())) < 1:
            got = connection.until(lambda frame: frame.kind in (WINDOW_UPDATE, RST_STREAM, GOAWAY))
            expect(got.kind == WINDOW_UPDATE, f"refused: code {got.code}")
            windows[got.stream] = windows.get(got.stream, 0) + int.from_bytes(got.payload, "big")
        part, body = body[:room], body[room:]
        connection.send(frame(DATA, 0 if body else END_STREAM, 1, part))
        windows = {stream: size - room for stream, size in windows.items()}


def reset_by_client(probe: Probe) -> str:
    with _open(probe) as connection:
        for stream in range(1, 41, 2):
            connection.send(
                _infer(connection, probe, stream) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
            )
        connection.send(_infer(connection, probe, 101, "last"))
        told = answered(connection.reply(101))
    expect(told.get("id") == "last", f"id {told.get('id')!r}")
    return "20 resets, then the next is answered"


def date(probe: Probe) -> str:
    with _open(probe) as connection:
        connection.send(connection.request(1, "GET", LIVE))
        told = connection.reply(1).headers.get("date", "")
    expect(told.endswith("GMT"), f"date: {told!r}")
    return told


# Each makes what must be a connection error, and is told apart by what comes of it.
_Sent = Callable[[Http2], bytes]


def _connection_error(sent: _Sent, probe: Probe) -> str:
    """GOAWAY with an error code, or closed."""
    with _open(probe) as connection:
        connection.send(sent(connection))
        try:
            got = connection.until(lambda frame: frame.kind == GOAWAY)
        except (EOFError, ConnectionError):
            return "closed"
        except TimeoutError:
            raise Departs("the connection goes on") from None
    expect(got.code != 0, "GOAWAY without an error")
    return f"GOAWAY with code {got.code}"


def _malformed(fields: Fields, probe: Probe, body: bytes | None = None) -> str:
    """A stream error (or connection error), or 400."""
    with _open(probe) as connection:
        content = connection.headers(1, fields, body is None)
        connection.send(content + (b"" if body is None else frame(DATA, END_STREAM, 1, body)))
        try:
            reply = connection.reply(1)
        except (EOFError, ConnectionError) as error:
            return str(error)
    expect(400 <= reply.status < 500, f"accepted: {reply.said}")
    return str(reply.status)


def _wrong_length(probe: Probe) -> str:
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", probe.infer_path),
        JSON,
    ]
    body = json.dumps(probe.request).encode()
    return _malformed([*fields, ("content-length", str(len(body) + 1))], probe, body)


def _continuation_cut(connection: Http2) -> bytes:
    return frame(HEADERS, END_STREAM, 1, connection.block(_GET)) + frame(PING, 0, 0, b"8 bytes!")


def _h2(section: str) -> Any:
    return sources.http2(section)


_FRAMES, _MALFORMED = _h2("5.4.1 Connection Error Handling"), _h2("8.1.1 Malformed Messages")


def _error(name: str, section: str, statement: str, sent: _Sent) -> Rule:
    return Rule(f"http2.error.{name}", MUST, _h2(section), f"{statement}: a connection error",
                partial(_connection_error, sent))  # fmt: skip


def _bad(name: str, section: str, statement: str, fields: Fields) -> Rule:
    return Rule(f"http2.malformed.{name}", MUST, _h2(section), f"{statement}: malformed, a stream error or 400",
                partial(_malformed, fields))  # fmt: skip


RULES = (
    Rule("http2.prior-knowledge", MAY, _h2("3.3 Prior Knowledge"), "HTTP/2 without TLS", prior_knowledge),
    Rule("http2.infer", MUST, _h2("8.1 Message Framing"), "inference over HTTP/2", infer),
    Rule("http2.multiplexed", MUST, _h2("5 Streams"), "streams at once get their own answers", multiplexed),
    Rule("http2.refusal", MUST, sources.rest("Inference Response JSON Error Object"),
         "a refusal is the same, and of its stream alone", refusal),
    Rule("http2.head", MUST, sources.http("9.3.2 HEAD"), "HEAD has no content", head),
    Rule("http2.date", MUST, sources.http("6.6.1 Date"), "answers have a date", date),
    Rule("http2.ping", MUST, _h2("6.7 PING"), "PING is acknowledged with its bytes", ping),
    Rule("http2.settings", MUST, _h2("6.5.3 Settings Synchronization"), "SETTINGS are acknowledged",
         settings_acknowledged),
    Rule("http2.settings.unknown", MUST, _h2("6.5.2 Defined Settings"), "an unknown setting is ignored",
         unknown_setting),
    Rule("http2.frame.unknown", MUST, _h2("5.5 Extending HTTP/2"), "an unknown frame is ignored", unknown_frame),
    Rule("http2.continuation", MUST, _h2("6.10 CONTINUATION"), "a head may go on in CONTINUATION", continuation),
    Rule("http2.padding", MUST, _h2("6.1 DATA"), "padding is taken off", padding),
    Rule("http2.cookie", MUST, _h2("8.2.3 Compressing the Cookie Header Field"), "cookies may come in crumbs",
         cookie_crumbs),
    Rule("http2.window.small", MUST, _h2("6.9 WINDOW_UPDATE"), "the client's window is kept", small_windows),
    Rule("http2.window.upload", MUST, _h2("5.2 Flow Control"), "the server's windows grow with a long body",
         large_upload),
    Rule("http2.reset", MUST, _h2("5.4.2 Stream Error Handling"), "streams that the client resets harm nobody",
         reset_by_client),
    _error("data.zero", "6.1 DATA", "DATA on stream 0", lambda _: frame(DATA, 0, 0, b"x")),
    _error("headers.zero", "6.2 HEADERS", "HEADERS on stream 0", lambda c: c.headers(0, _GET, True)),
    _error("stream.even", "5.1.1 Stream Identifiers", "a client's stream with an even number",
           lambda c: c.headers(2, _GET, True)),
    _error("stream.order", "5.1.1 Stream Identifiers", "a stream with a lower number than one before",
           lambda c: c.request(5, "GET", LIVE) + c.request(3, "GET", LIVE)),
    _error("data.idle", "5.1 Stream States", "DATA on a stream that is not open", lambda _: frame(DATA, 0, 7, b"x")),
    _error("ping.size", "6.7 PING", "PING that has not 8 bytes", lambda _: frame(PING, 0, 0, b"7 bytes")),
    _error("settings.size", "6.5 SETTINGS", "SETTINGS whose size is no multiple of 6",
           lambda _: frame(SETTINGS, 0, 0, b"5byte")),
    _error("settings.stream", "6.5 SETTINGS", "SETTINGS on a stream", lambda _: frame(SETTINGS, 0, 1)),
    _error("settings.window", "6.5.2 Defined Settings", "a window above 2^31-1", lambda _: settings((4, 2**31))),
    _error("window.overflow", "6.9.1 The Flow-Control Window", "a window that grows above 2^31-1",
           lambda _: frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1)) * 2),
    _error("window.zero", "6.9 WINDOW_UPDATE", "an increment of 0", lambda _: frame(WINDOW_UPDATE, 0, 0, b"\0" * 4)),
    _error("frame.large", "4.2 Frame Size", "a frame above SETTINGS_MAX_FRAME_SIZE of 2^24-1",
           lambda _: b"\xff\xff\xff" + frame(HEADERS, END_HEADERS, 1)[3:]),
    _error("hpack", "4.3 Field Section Compression and Decompression", "a head that does not decompress",
           lambda _: frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff")),
    _error("continuation", "6.10 CONTINUATION", "another frame inside a head", _continuation_cut),
    _error("continuation.alone", "6.10 CONTINUATION", "CONTINUATION without HEADERS",
           lambda c: frame(CONTINUATION, END_HEADERS, 1, c.block(_GET))),
    _error("push", "8.4 Server Push", "PUSH_PROMISE from a client", lambda _: frame(5, END_HEADERS, 1, b"\0\0\0\2")),
    _bad("upper", "8.2.1 Field Validity", "an upper case name", [*_GET, ("X-Upper", "1")]),
    _bad("connection", "8.2.2 Connection-Specific Header Fields", "a connection field",
         [*_GET, ("connection", "close")]),
    _bad("te", "8.2.2 Connection-Specific Header Fields", "te other than trailers", [*_GET, ("te", "gzip")]),
    _bad("path.missing", "8.3.1 Request Pseudo-Header Fields", "no :path", _GET[:3]),
    _bad("path.empty", "8.3.1 Request Pseudo-Header Fields", "an empty :path", [*_GET[:3], (":path", "")]),
    _bad("path.twice", "8.3.1 Request Pseudo-Header Fields", ":path twice", [*_GET, (":path", LIVE)]),
    _bad("pseudo.unknown", "8.3 HTTP Control Data", "an unknown pseudo field", [*_GET, (":what", "1")]),
    _bad("pseudo.late", "8.3 HTTP Control Data", "a pseudo field after a plain one",
         [*_GET[:3], ("x-a", "1"), (":path", LIVE)]),
    _bad("pseudo.status", "8.3 HTTP Control Data", ":status in a request", [*_GET, (":status", "200")]),
    _bad("value", "8.2.1 Field Validity", "a line feed in a value", [*_GET, ("x-a", "1\n2")]),
    Rule("http2.malformed.length", MUST, _MALFORMED, "a content-length that is not the body's: malformed",
         _wrong_length),
)  # fmt: skip
