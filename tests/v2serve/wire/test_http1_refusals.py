"""HTTP/1: what is refused, with which status and words, and what becomes of the connection."""

import pytest

from tests.v2serve.wire.echo import Caller, Running, calling, eventually, get, post, serving

_CHUNKED = b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n"
_SIZED = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: "

REFUSED: list[tuple[str, bytes, int, str]] = [
    ("garbage", b"\x16\x03\x01\x02\x00\x01\r\n", 400, "not HTTP"),
    ("an unknown method", b"BREW / HTTP/1.1\r\nhost: h\r\n\r\n", 400, "method"),
    ("length and chunks", _CHUNKED + b"content-length: 3\r\n\r\n0\r\n\r\n", 400, "Transfer-Encoding"),
    (
        "chunks and length",
        _SIZED + b"3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "Content-Length",
    ),
    ("two lengths", _SIZED + b"3\r\ncontent-length: 3\r\n\r\nabc", 400, "Content-Length"),
    ("a signed length", _SIZED + b"+3\r\n\r\nabc", 400, "Content-Length"),
    ("a negative length", _SIZED + b"-3\r\n\r\nabc", 400, "Content-Length"),
    ("a length with a comma", _SIZED + b"3, 3\r\n\r\nabc", 400, "Content-Length"),
    ("a length beyond 64 bits", _SIZED + b"99999999999999999999\r\n\r\n", 400, "Content-Length"),
    ("a folded header", b"GET / HTTP/1.1\r\nhost: h\r\nx: a\r\n b\r\n\r\n", 400, "header"),
    ("bare line feeds", b"GET / HTTP/1.1\nhost: h\n\n", 400, "CRLF"),
    ("a NUL in a value", b"GET / HTTP/1.1\r\nhost: h\r\nx: a\0b\r\n\r\n", 400, "header value"),
    ("a space before the colon", b"GET / HTTP/1.1\r\nhost : h\r\n\r\n", 400, "header"),
    ("a chunk of no size", _CHUNKED + b"\r\nxyz\r\n", 400, "chunk"),
    ("a signed chunk", _CHUNKED + b"\r\n-3\r\nabc\r\n", 400, "chunk"),
    (
        "a coding that is not chunked",
        _CHUNKED.replace(b"chunked", b"gzip, chunked") + b"\r\n",
        501,
        "use chunked",
    ),
    ("a coding in HTTP/1.0", _CHUNKED.replace(b"1.1", b"1.0") + b"\r\n0\r\n\r\n", 400, "HTTP/1.0"),
    ("no host", b"GET / HTTP/1.1\r\n\r\n", 400, "one host"),
    ("two hosts", b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400, "one host"),
    ("HTTP/2 in the words of 1", b"GET / HTTP/2.0\r\nhost: h\r\n\r\n", 505, "preface"),
    ("HTTP/3", b"GET / HTTP/3.0\r\nhost: h\r\n\r\n", 505, "version"),
    ("CONNECT", b"CONNECT h:80 HTTP/1.1\r\nhost: h\r\n\r\n", 405, "no proxy"),
    ("a target that is no path", b"GET v2 HTTP/1.1\r\nhost: h\r\n\r\n", 400, "rl"),
    ("a broken escape", get("/a%2"), 400, "%25"),
    ("an escape that is not UTF-8", get("/a%ff"), 400, "UTF-8"),
    ("an escaped NUL", get("/a%00"), 400, "control"),
    ("a long target", get("/" + "a" * 8192), 414, "8192"),
    ("a large head", get("/", "x: " + "a" * 20_000), 431, "20000 bytes"),
    ("a large head of many", get("/", *[f"x-{n}: {'a' * 500}" for n in range(60)]), 431, "20000 bytes"),
    ("many headers", get("/", *[f"x-{n}: 1" for n in range(100)]), 431, "more than 100"),
    ("an expectation", get("/", "expect: tea"), 417, "100-continue"),
]


@pytest.mark.parametrize(
    ("data", "status", "words"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_a_broken_request_is_refused_in_json_and_the_connection_ends(
    caller: Caller, data: bytes, status: int, words: str
) -> None:
    reply = caller.ask(data)
    assert reply.status == status
    assert words in reply.error
    assert reply.headers["connection"] == "close"
    assert caller.ended()


def test_what_was_asked_before_the_garbage_is_answered_first(caller: Caller) -> None:
    caller.send(get("/later?0.05") + b"\0\0\0garbage\r\n\r\n")
    assert caller.reply().body == b"later "
    assert caller.reply().status == 400
    assert caller.ended()


@pytest.mark.parametrize("data", [_SIZED + b"5\r\n\r\nab", _CHUNKED + b"\r\n5\r\nab", get("/")[:-2]])
def test_a_request_that_ends_early_is_400(caller: Caller, data: bytes) -> None:
    caller.send(data)
    caller.socket.shutdown(1)
    reply = caller.reply()
    assert (reply.status, "ended before it was complete" in reply.error) == (400, True)
    assert caller.ended()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_413_and_the_connection_stays(caller: Caller, chunked: bool) -> None:
    body = b"x" * 300_000
    data = _CHUNKED + b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else post("/", body)
    reply = caller.ask(data + get("/after"))
    assert (reply.status, "V2SERVE_MAX_BODY_BYTES allows 200000" in reply.error) == (413, True)
    assert caller.reply().body == b"GET /after?"


def test_a_claim_beyond_what_would_be_dropped_is_refused_at_once(caller: Caller) -> None:
    assert caller.ask(_SIZED + b"999999999999\r\n\r\n").status == 413
    assert caller.ended()


def test_a_refusal_is_said_in_place_of_continue(caller: Caller) -> None:
    large = caller.ask(_SIZED + b"300000\r\nexpect: 100-continue\r\n\r\n")
    assert (large.status, large.headers["connection"]) == (413, "close")
    assert caller.ended()


def test_a_refused_request_keeps_the_connection_once_its_body_is_dropped(
    running: Running, caller: Caller
) -> None:
    caller.send(post("/missing", b"x" * 100_000) + get("/after"))
    assert [caller.reply().status, caller.reply().status] == [404, 200]
    assert running.echo.noted == [("/after", 200)]


def test_a_held_body_beyond_the_total_is_503_and_small_ones_always_pass() -> None:
    with (
        serving(read_seconds=5.0, held_bytes=100_000) as running,
        calling(running) as first,
        calling(running) as second,
    ):
        first.send(post("/never", b"x" * 90_000))
        assert eventually(lambda: running.server.held == 90_000)
        refused = second.ask(post("/", b"x" * 90_000))
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert "ask again" in refused.error
        assert second.ask(post("/", b"x" * 60_000)).status == 200
        assert running.server.held == 90_000
