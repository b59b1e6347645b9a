"""Where the connections are used up, whoever does nothing yields to those who wait, a health probe among them."""

import time
from contextlib import ExitStack

import pytest

from tests.v2serve.wire.echo import Running, calling, eventually, get, serving
from tests.v2serve.wire.http2_caller import POST_BLOCK, PREFACE
from v2serve.wire import frames

_HEAD_OF_2 = frames.frame(frames.HEADERS, frames.END_HEADERS, 1, POST_BLOCK)
_STALLING = {
    "nothing": b"",
    "half a preface": PREFACE[:10],
    "half a head": b"GET /v2 HTTP/1.1\r\nhost",
    "half a body": b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nabc",
    "half a chunk": b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
    "a stream without its body": PREFACE + _HEAD_OF_2,
    "half a header block": PREFACE + frames.frame(frames.HEADERS, 0, 1, POST_BLOCK),
    "an answer that is not read": get("/big?30000000"),
}


def _probed(running: Running, within: float) -> None:
    began = time.monotonic()
    with calling(running) as probe:
        assert probe.ask(get("/live")).status == 200
    assert time.monotonic() - began < within


@pytest.mark.parametrize("said", _STALLING.values(), ids=_STALLING.keys())
def test_a_probe_is_answered_within_two_periods_whatever_the_others_leave_undone(said: bytes) -> None:
    with serving(read_seconds=8.0, connections=8) as running, ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(running.connect()).sendall(said)
        assert eventually(lambda: running.server.connections == 8)
        _probed(running, within=2.5)  # periods of 1 s, and a slow machine


def test_the_slow_one_is_told_that_others_wait() -> None:
    with serving(read_seconds=4.0, connections=1) as running, calling(running) as slow:
        slow.send(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nabc")
        assert eventually(lambda: running.echo.admitted == ["/"])
        _probed(running, within=2.0)
        reply = slow.reply()
        assert (reply.status, reply.headers["connection"]) == (408, "close")
        assert reply.error == "the body is slow, and others wait for this connection; send it faster"


def test_idle_connections_yield_before_those_in_the_middle_of_a_body() -> None:
    with serving(read_seconds=4.0, connections=2) as running, calling(running) as slow:
        slow.send(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 6\r\n\r\nabc")
        with calling(running) as idle:
            assert idle.ask(get("/")).status == 200
            time.sleep(0.6)
            _probed(running, within=2.0)
            assert idle.ended()
        slow.send(b"def")
        assert slow.reply().body == b"abcdef"


def test_who_waits_for_a_model_is_not_cut_short() -> None:
    with (
        serving(read_seconds=4.0, connections=2) as running,
        calling(running) as busy,
        calling(running) as slow,
    ):
        busy.send(get("/later?2.0"))
        slow.send(b"GET / HT")
        assert eventually(lambda: running.echo.asked == 1)
        _probed(running, within=2.0)
        assert busy.reply().body == b"later "
