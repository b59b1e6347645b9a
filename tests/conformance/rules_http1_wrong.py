"""Rules of HTTP/1.1 for messages that are wrong, where a lenient reader is a smuggler's friend."""

from __future__ import annotations

from functools import partial

from . import sources
from .http1 import Connection
from .probe import JSON, Probe, answered
from .rule import Level, NotApplicable, Rule, expect
from .rules_http1 import LIVE, exchange, post

MUST, SHOULD = Level.MUST, Level.SHOULD
_BIG = 70_000  # bytes of one header: more than any server takes by default
_CLOSED_WITHIN = 2.0


def _refuses(content: bytes, probe: Probe, method: str = "GET") -> str:
    """400 (or another 4xx or 501), or closed without an answer."""
    with probe.connect() as connection:
        connection.send(content.replace(b"{host}", str(probe.address).encode()))
        try:
            reply = connection.reply(method)
        except (EOFError, ConnectionError):
            return "closed without an answer"
    expect(reply.status >= 400, f"accepted: {reply.said}")
    return str(reply.status)


def _answers_400(content: bytes, probe: Probe) -> str:
    said = _refuses(content, probe)
    expect(said == "400", said)
    return said


def framing_conflict(probe: Probe) -> str:
    """Content-Length beside Transfer-Encoding: refused, or the connection is closed after the answer."""
    fields = [JSON, ("content-length", "6"), ("transfer-encoding", "chunked")]
    content = probe.head("POST", probe.infer_path, fields) + b"0\r\n\r\n" + probe.head("GET", LIVE)
    with probe.connect() as connection:
        connection.send(content)
        try:
            status = connection.reply("POST").status
        except (EOFError, ConnectionError):
            return "closed without an answer"
        connection.patience(_CLOSED_WITHIN)
        expect(connection.is_closed(), f"{status}, and the connection goes on")
    return f"{status}, and closed"


def length_conflict(probe: Probe) -> str:
    content = (
        probe.head("POST", probe.infer_path, [JSON, ("content-length", "2"), ("content-length", "4")])
        + b"{}{}"
    )
    with probe.connect() as connection:
        connection.send(content)
        try:
            reply = connection.reply("POST")
        except (EOFError, ConnectionError):
            return "closed without an answer"
        connection.patience(_CLOSED_WITHIN)
        expect(
            reply.status == 400 and connection.is_closed(),
            f"{reply.said}; the connection goes on or it is no 400",
        )
    return "400, and closed"


def obsolete_fold(probe: Probe) -> str:
    content = b"GET /v2/health/live HTTP/1.1\r\nhost: {host}\r\nx-a: 1\r\n 2\r\n\r\n"
    reply = exchange(probe, content.replace(b"{host}", str(probe.address).encode()))
    expect(reply.status in (200, 400), reply.said)
    return f"{reply.status}"


def unknown_coding(probe: Probe) -> str:
    head = probe.head("POST", probe.infer_path, [JSON, ("transfer-encoding", "rot13, chunked")])
    reply = exchange(probe, head + b"0\r\n\r\n", "POST")
    expect(reply.status in (400, 501), reply.said)
    return str(reply.status)


def long_head(probe: Probe) -> str:
    with probe.connect() as connection:
        try:
            connection.send(probe.head("GET", LIVE, [("x-long", "a" * _BIG)]))
            reply = connection.reply()
        except (EOFError, ConnectionError):
            return "closed without an answer"
    if reply.status == 200:
        raise NotApplicable(f"a header of {_BIG} bytes is taken")
    expect(reply.status in (400, 413, 431), reply.said)
    return str(reply.status)


def broken_off(probe: Probe) -> str:
    """A body that ends early is never answered as if it were whole."""
    content = post(probe)
    with probe.connect() as connection:
        connection.send(content[:-1])
        connection.finish_sending()
        said = _last_words(connection)
    answered(exchange(probe, content, "POST"))
    return said


def _last_words(connection: Connection) -> str:
    try:
        reply = connection.reply("POST")
    except (EOFError, ConnectionError):
        return "closed without an answer"
    expect(reply.status >= 400, f"answered: {reply.said}")
    return str(reply.status)


_CHUNKED = sources.http1("7.1 Chunked Transfer Coding")
_FIELDS, _LENGTH = sources.http1("5.1 Field Line Parsing"), sources.http1("6.3 Message Body Length")


def _raw(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


RULES = (
    Rule("http1.chunked.bad", MUST, _CHUNKED, "a chunk size that is no number is refused", partial(_refuses, _raw(
        "POST / HTTP/1.1", "host: {host}", "transfer-encoding: chunked", "", "xyz", "0"))),
    Rule("http1.broken-off", MUST, sources.http1("8 Handling Incomplete Messages"),
         "a body that breaks off is not answered as if it were whole", broken_off),
    Rule("http1.host.missing", MUST, sources.http1("3.2 Request Target"), "HTTP/1.1 without host is 400",
         partial(_answers_400, _raw("GET /v2/health/live HTTP/1.1", "x-a: 1"))),
    Rule("http1.host.twice", MUST, sources.http1("3.2 Request Target"), "host given twice is 400",
         partial(_answers_400, _raw("GET /v2/health/live HTTP/1.1", "host: {host}", "host: other"))),
    Rule("http1.host.invalid", MUST, sources.http1("3.2 Request Target"), "a host that is none is 400",
         partial(_answers_400, _raw("GET /v2/health/live HTTP/1.1", "host: a b/c"))),
    Rule("http1.field.space", MUST, _FIELDS, "a space between a field's name and its colon is 400",
         partial(_answers_400, _raw("GET /v2/health/live HTTP/1.1", "host: {host}", "x-a : 1"))),
    Rule("http1.field.name", MUST, sources.http("5.1 Field Names"), "a field's name that is no token is refused",
         partial(_refuses, _raw("GET /v2/health/live HTTP/1.1", "host: {host}", "x(a): 1"))),
    Rule("http1.field.nul", MUST, sources.http("5.5 Field Values"), "NUL in a field's value is refused",
         partial(_refuses, _raw("GET /v2/health/live HTTP/1.1", "host: {host}", "x-a: 1\x002"))),
    Rule("http1.field.fold", MUST, sources.http1("5.2 Obsolete Line Folding"),
         "a folded field is 400 or read as one line", obsolete_fold),
    Rule("http1.length.conflict", MUST, _LENGTH, "two content-lengths are 400, and the connection closes",
         length_conflict),
    Rule("http1.length.invalid", MUST, _LENGTH, "a content-length that is no number is refused", partial(_refuses, _raw(
        "POST /v2/models/x/infer HTTP/1.1", "host: {host}", "content-length: +4", "", "{}{}"))),
    Rule("http1.length.coding", MUST, sources.http1("6.1 Transfer-Encoding"),
         "content-length beside transfer-encoding is refused or the connection closes", framing_conflict),
    Rule("http1.coding.unknown", SHOULD, sources.http1("6.1 Transfer-Encoding"),
         "an unknown transfer coding is 501 (or 400)", unknown_coding),
    Rule("http1.line.version", MUST, sources.http1("2.3 HTTP Version"), "a version that is none is refused",
         partial(_refuses, _raw("GET /v2/health/live HTTP/9.9", "host: {host}"))),
    Rule("http1.line.garbage", SHOULD, sources.http1("3 Request Line"), "a line that is none is 400",
         partial(_answers_400, b"what is this\r\n\r\n")),
    Rule("http1.head.long", SHOULD, sources.rfc(6585, "5 431 Request Header Fields Too Large"),
         "a head that is too long is 431 (or 400)", long_head),
)  # fmt: skip
