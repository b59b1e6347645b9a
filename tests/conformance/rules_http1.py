"""Rules of HTTP/1.1 that clients, proxies and probes rely on."""

from __future__ import annotations

import json

from . import sources
from .http1 import Reply, head_of
from .probe import JSON, Probe, answered, refused
from .rule import Level, NotApplicable, NotOffered, Rule, expect

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY
LIVE = "/v2/health/live"


def _body(probe: Probe, name: str = "1") -> bytes:
    return json.dumps({**probe.request, "id": name}).encode()


def post(probe: Probe, name: str = "1") -> bytes:
    return probe.message("POST", probe.infer_path, _body(probe, name), [JSON])


def exchange(probe: Probe, content: bytes, method: str = "GET") -> Reply:
    with probe.connect() as connection:
        connection.send(content)
        return connection.reply(method)


def keep_alive(probe: Probe) -> str:
    with probe.connect() as connection:
        for number in range(3):
            connection.send(post(probe, str(number)))
            told = answered(connection.reply("POST"))
            expect(told.get("id") == str(number), f"answer {number} has id {told.get('id')!r}")
    return "3 requests on one connection"


def _refused_first(probe: Probe) -> tuple[Reply, str | None]:
    """The answer to a bad request, and the id that the next on its connection gets; None: closed before it."""
    with probe.connect() as connection:
        connection.send(probe.message("POST", probe.infer_path, b'{"inputs": []}' + b" " * 2000, [JSON]))
        first = connection.reply("POST")
        try:
            connection.send(post(probe, "after"))
            return first, str(answered(connection.reply("POST")).get("id"))
        except (EOFError, ConnectionError):
            return first, None


def framing_after_refusal(probe: Probe) -> str:
    first, told = _refused_first(probe)
    expect(told in ("after", None), f"{first.status}, then an answer with id {told!r}")
    return f"{first.status}, then {'closed' if told is None else 'the next is answered'}"


def close_after_refusal(probe: Probe) -> str:
    first, told = _refused_first(probe)
    said = first.headers.get("connection", "")
    expect(told is not None or said.lower() == "close", f"{first.status}, closed without connection: close")
    return f"{first.status}, then {'closed, as it said' if told is None else 'the next is answered'}"


def pipelining(probe: Probe) -> str:
    names = [f"p{number}" for number in range(8)]
    with probe.connect() as connection:
        connection.send(b"".join(post(probe, name) for name in names))
        told = [answered(connection.reply("POST")).get("id") for _ in names]
    expect(told == names, f"ids {told}")
    return f"{len(names)} answers in order"


def close(probe: Probe) -> str:
    with probe.connect() as connection:
        connection.send(probe.head("GET", LIVE, [("connection", "close")]))
        reply = connection.reply()
        expect(reply.status == 200, reply.said)
        expect(connection.is_closed(), "the connection stays open")
    return "closed after the answer"


def close_said(probe: Probe) -> str:
    with probe.connect() as connection:
        connection.send(probe.head("GET", LIVE, [("connection", "close")]))
        told = connection.reply().headers.get("connection", "")
    expect(told.lower() == "close", f"connection: {told!r}")
    return "connection: close"


def half_close(probe: Probe) -> str:
    """A client that has said all and only listens still gets its answer."""
    with probe.connect() as connection:
        connection.send(post(probe))
        connection.finish_sending()
        answered(connection.reply("POST"))
    return "answered"


def chunked(probe: Probe) -> str:
    body = _body(probe)
    parts = [body[:7], body[7:8], body[8:]]
    content = b"".join(b"%X\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    return _chunked(probe, content)


def chunk_extensions(probe: Probe) -> str:
    body = _body(probe)
    return _chunked(probe, b'%x;a=b;c="d"\r\n%s\r\n0;last\r\n\r\n' % (len(body), body))


def chunk_trailers(probe: Probe) -> str:
    body = _body(probe)
    return _chunked(probe, b"%x\r\n%s\r\n0\r\nx-checksum: 1\r\n\r\n" % (len(body), body))


def _chunked(probe: Probe, content: bytes) -> str:
    head = probe.head("POST", probe.infer_path, [JSON, ("transfer-encoding", "chunked")])
    answered(exchange(probe, head + content, "POST"))
    return "answered"


def slow_head(probe: Probe) -> str:
    content = post(probe)
    with probe.connect() as connection:
        for start in range(0, len(content), 60):
            connection.send(content[start : start + 60])
        answered(connection.reply("POST"))
    return "answered, however the bytes are cut"


def head(probe: Probe) -> str:
    with probe.connect() as connection:
        connection.send(probe.head("HEAD", LIVE) + probe.head("GET", LIVE))
        first, second = connection.reply("HEAD"), connection.reply()
    expect(first.status == 200, f"HEAD: {first.status}")
    expect(second.status == 200, f"GET after HEAD: {second.said}")
    return "the headers of GET, no content"


def head_length(probe: Probe) -> str:
    told, wanted = (probe.ask(method, LIVE) for method in ("HEAD", "GET"))
    expect(told.status == 200, f"HEAD: {told.status}")
    length = told.headers.get("content-length")
    if length is None:
        raise NotOffered("no content-length")
    expect(length == str(len(wanted.body)), f"content-length {length}, GET has {len(wanted.body)}")
    return f"content-length {length}"


def expect_continue(probe: Probe) -> str:
    body = _body(probe)
    fields = [JSON, ("content-length", str(len(body))), ("expect", "100-continue")]
    with probe.connect() as connection:
        connection.send(probe.head("POST", probe.infer_path, fields))
        first = connection.head()
        if first.status != 100:
            return f"final {first.status}"
        connection.send(body)
        answered(connection.reply("POST"))
    return "100, then the answer"


def method_not_allowed(probe: Probe) -> str:
    told = [probe.ask("GET", probe.infer_path), probe.ask("DELETE", LIVE)]
    expect(
        all(reply.status == 405 for reply in told),
        f"GET infer {told[0].status}, DELETE live {told[1].status}",
    )
    return "405 for GET of infer and DELETE of live"


def allow(probe: Probe) -> str:
    told = [(probe.ask("GET", probe.infer_path), "POST"), (probe.ask("DELETE", LIVE), "GET")]
    if all(reply.status != 405 for reply, _ in told):
        raise NotApplicable("nothing is 405")
    for reply, wanted in told:
        names = reply.headers.get("allow", "")
        fits = reply.status != 405 or wanted in names.replace(" ", "").split(",")
        expect(fits, f"allow: {names!r}, without {wanted}")
    return f"allow: {told[0][0].headers.get('allow')}"


def method_not_allowed_body(probe: Probe) -> str:
    return refused(probe.ask("GET", probe.infer_path))


def unknown_method(probe: Probe) -> str:
    reply = probe.ask("BREW", LIVE)
    expect(reply.status in (400, 405, 501), reply.said)
    return str(reply.status)


def lower_case_method(probe: Probe) -> str:
    reply = probe.ask("get", LIVE)
    expect(reply.status >= 400, f"'get' is taken for GET: {reply.said}")
    return str(reply.status)


def date(probe: Probe) -> str:
    told = probe.get(LIVE).headers.get("date", "")
    expect(told.endswith("GMT"), f"date: {told!r}")
    return told


def version_10(probe: Probe) -> str:
    with probe.connect() as connection:
        connection.send(head_of("GET", LIVE, [], "1.0"))
        reply = connection.reply()
        expect(reply.status == 200, reply.said)
        expect("transfer-encoding" not in reply.headers, "transfer-encoding to HTTP/1.0")
        expect(connection.is_closed(), "the connection stays open")
    return "answered and closed"


def absolute_form(probe: Probe) -> str:
    reply = exchange(probe, probe.head("GET", f"http://{probe.address}{LIVE}"))
    expect(reply.status == 200, reply.said)
    return "answered"


def empty_line_first(probe: Probe) -> str:
    reply = exchange(probe, b"\r\n" + probe.head("GET", LIVE))
    expect(reply.status == 200, reply.said)
    return "answered"


def upgrade(probe: Probe) -> str:
    """What a client asks that would rather speak HTTP/2: switched, or answered as it came."""
    content = _body(probe)
    settings = [
        ("connection", "Upgrade, HTTP2-Settings"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
    ]
    sent = probe.message("POST", probe.infer_path, content, [JSON, *settings])
    with probe.connect() as connection:
        connection.send(sent)
        first = connection.head()
    expect(first.status in (101, 200), f"{first.status} {first.headers}")
    return "switched" if first.status == 101 else "answered in HTTP/1.1"


def header_names(probe: Probe) -> str:
    body = _body(probe)
    content = head_of("POST", probe.infer_path, [
        ("HOST", str(probe.address)), ("CoNtEnT-tYpE", "application/json"), ("CONTENT-LENGTH", str(len(body))),
    ]) + body  # fmt: skip
    answered(exchange(probe, content, "POST"))
    return "answered"


def encoded_path(probe: Probe) -> str:
    reply = probe.get("/v2/%68ealth/liv%65")
    expect(reply.status == 200, reply.said)
    return "the same resource"


def query_ignored(probe: Probe) -> str:
    reply = probe.get(f"{LIVE}?probe=1")
    expect(reply.status == 200, reply.said)
    return "answered"


_PERSIST, _CHUNKED = sources.http1("9.3 Persistence"), sources.http1("7.1 Chunked Transfer Coding")
_LENGTH = sources.http1("6.3 Message Body Length")
_405 = sources.http("15.5.6 405 Method Not Allowed")


RULES = (
    Rule("http1.keep-alive", SHOULD, _PERSIST, "connections persist", keep_alive),
    Rule("http1.refused.framing", MUST, _LENGTH, "the body of a refused request is not taken for the next request",
         framing_after_refusal),
    Rule("http1.refused.close", SHOULD, sources.http1("9.6 Tear-down"),
         "a connection that closes after a refusal says so", close_after_refusal),
    Rule("http1.pipelining", MUST, sources.http1("9.3.2 Pipelining"), "pipelined requests are answered in order",
         pipelining),
    Rule("http1.close", MUST, sources.http1("9.6 Tear-down"), "connection: close closes after the answer", close),
    Rule("http1.close.said", SHOULD, sources.http1("9.6 Tear-down"), "and the answer says connection: close",
         close_said),
    Rule("http1.half-close", MAY, sources.http1("9.6 Tear-down"), "a client that closed its side is answered",
         half_close),
    Rule("http1.chunked", MUST, _CHUNKED, "a chunked body is read", chunked),
    Rule("http1.chunked.extensions", MUST, sources.http1("7.1.1 Chunk Extensions"),
         "unknown chunk extensions are ignored", chunk_extensions),
    Rule("http1.chunked.trailers", MUST, sources.http1("7.1.2 Chunked Trailer Section"),
         "a chunked body may end with trailers", chunk_trailers),
    Rule("http1.segments", MUST, sources.http1("2.2 Message Parsing"), "a request may arrive in pieces", slow_head),
    Rule("http1.head", MUST, sources.http("9.1 Overview"), "HEAD is supported where GET is, and has no content", head),
    Rule("http1.head.length", SHOULD, sources.http("8.6 Content-Length"), "HEAD says the content-length of GET",
         head_length),
    Rule("http1.expect", MUST, sources.http("10.1.1 Expect"), "Expect: 100-continue gets 100 or a final status",
         expect_continue),
    Rule("http1.405", SHOULD, sources.http("9.1 Overview"), "a method that is not for this path is 405",
         method_not_allowed),
    Rule("http1.405.allow", MUST, _405, "405 has allow with the methods that are", allow),
    Rule("http1.405.body", SHOULD, sources.rest("Inference Response JSON Error Object"),
         'a wrong method is refused with {"error": string}', method_not_allowed_body),
    Rule("http1.method.unknown", SHOULD, sources.http("9.1 Overview"), "an unknown method is 501 (or 400, 405)",
         unknown_method),
    Rule("http1.method.case", MUST, sources.http("9.1 Overview"), "methods are case-sensitive", lower_case_method),
    Rule("http1.date", MUST, sources.http("6.6.1 Date"), "answers have a date", date),
    Rule("http1.field.case", MUST, sources.http("5.1 Field Names"), "names of fields are read without their case",
         header_names),
    Rule("http1.10", MUST, sources.http1("9.3 Persistence"), "HTTP/1.0 is answered without chunks, then closed",
         version_10),
    Rule("http1.absolute", MUST, sources.http1("3.2.2 absolute-form"), "the absolute form of a target is taken",
         absolute_form),
    Rule("http1.upgrade", MUST, sources.http("7.8 Upgrade"), "an upgrade is done or ignored", upgrade),
    Rule("http1.empty-line", SHOULD, sources.http1("2.2 Message Parsing"), "an empty line first is ignored",
         empty_line_first),
    Rule("http1.path.encoded", SHOULD, sources.http("4.2.3 Normalization"), "%68 in a path is h", encoded_path),
    Rule("http1.query", SHOULD, sources.http("4.1 URI References"), "a query that means nothing is ignored",
         query_ignored),
)  # fmt: skip
