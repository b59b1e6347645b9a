"""A refusal that needs no body does not wait for it; a stream has one answer; who left is not asked."""

import socket
import time

import pytest

from tests.v2serve.wire.echo import Caller, Running, calling, eventually, get, post, serving
from tests.v2serve.wire.http2_caller import (
    PREFACE,
    asked,
    calling2,
    frames_of,
    raw,
)
from v2serve.wire import frames

_NO_WINDOW = frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: 0})
_MISSING = b"\x83\x86\x44\x08/missing\x01\x01h"


def _open(number: int, block: bytes, *fields: tuple[bytes, bytes]) -> bytes:
    for name, value in fields:
        block += b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value
    return frames.frame(frames.HEADERS, frames.END_HEADERS, number, block)


def test_a_refused_stream_is_answered_before_its_body_and_told_to_stop(running: Running) -> None:
    with calling2(running) as caller:
        stream = caller.ask(asked("/missing", "POST"), end=False)
        answer = caller.answer(stream)
        assert (answer.status, b"no such path" in answer.body) == (404, True)
        while answer.reset is None:
            assert caller.receive()
        assert answer.reset == 0
        assert caller.answer(caller.ask(asked("/after"))).status == 200


def test_what_was_on_its_way_for_a_refused_stream_is_read_past(running: Running) -> None:
    data = frames.frame(frames.DATA, 0, 1, b"x" * 16_384)
    ping = frames.frame(frames.PING, 0, 0, b"the end.")
    said = raw(running, _open(1, _MISSING) + data * 20 + frames.frame(frames.DATA, 1, 1, b"x") + ping)
    resets = [payload for kind, _, _, payload in said if kind == frames.RST_STREAM]
    assert resets == [b"\0\0\0\0"]
    assert (frames.PING, frames.ACK, 0, b"the end.") in said


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (_open(1, _MISSING), b""),
        (_open(1, b"\x83\x86\x84\x01\x01h", (b"content-length", b"300000")), b"x" * 16_384),
        (_open(1, _MISSING, (b"expect", b"100-continue")), b"{}"),
    ],
)
def test_a_stream_whose_refusal_is_blocked_is_answered_once(
    running: Running, head: bytes, more: bytes
) -> None:
    data = frames.frame(frames.DATA, 0, 1, more) * 14 + frames.frame(frames.DATA, frames.END_STREAM, 1, more)
    room = frames.window_update(1, 1000)
    said = raw(running, _NO_WINDOW + head + data + room)
    assert [number for kind, _, number, _ in said if kind == frames.HEADERS] == [1]
    assert [flags & frames.END_STREAM for kind, flags, _, _ in said if kind == frames.DATA][-1:] == [1]


@pytest.mark.parametrize("after", [b"", b"abc"])
def test_a_caller_who_waits_for_its_refusal_is_told_before_its_body_is_there(after: bytes) -> None:
    with serving(read_seconds=4.0) as running, calling(running) as caller:
        began = time.monotonic()
        caller.send(b"POST /missing HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\n" + after)
        reply = caller.reply()
        assert (reply.status, reply.headers["connection"]) == (404, "close")
        assert time.monotonic() - began < 2.0  # of periods of 0.5 s, where the body has 4 s
        caller.send(b"more")
        assert caller.ended()


def test_a_caller_who_goes_on_sending_what_is_refused_keeps_its_connection() -> None:
    with serving(read_seconds=1.6) as running, calling(running) as caller:
        body = post("/missing", b"x" * 12)
        caller.send(body[:-12])
        for at in range(12, 0, -1):
            caller.send(body[-at : len(body) - at + 1])
            time.sleep(0.1)
        assert caller.reply().status == 404
        assert caller.ask(get("/after")).status == 200


def test_a_stream_that_is_reset_in_its_turn_is_not_asked(running: Running) -> None:
    before = running.echo.asked
    block = b"\x82\x86\x44\x05/gone\x01\x01h"
    gone = b"".join(
        frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, number, block)
        + frames.frame(frames.RST_STREAM, 0, number, b"\0\0\0\x08")
        for number in (1, 3, 5)
    )
    stays = frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 7, b"\x82\x86\x84\x01\x01h")
    with running.connect() as channel:
        channel.sendall(PREFACE + gone + stays)
        received = b""
        while not any(kind == frames.DATA for kind, *_ in frames_of(received)):
            received += channel.recv(65_536)
    assert running.echo.asked == before + 1
    assert running.echo.noted.count(("/gone", None)) == 3


def test_a_connection_that_is_lost_before_its_turn_is_not_asked() -> None:
    with serving() as running:
        callers = [Caller(running) for _ in range(70)]  # more than are answered in one turn
        assert [caller.ask(get("/")).status for caller in callers] == [200] * 70
        running.loop.call_soon_threadsafe(time.sleep, 0.3)
        time.sleep(0.1)
        for caller in callers:
            caller.send(get("/gone"))
            caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            caller.close()
        with calling(running) as other:
            assert other.ask(get("/stays")).status == 200
        assert eventually(lambda: running.server.connections <= 1)
        assert running.echo.asked - 71 == running.echo.noted.count(("/gone", 200))
