"""What is received and what is not taken is held, whoever holds it back; the small go on being served."""

import socket
import time
from contextlib import ExitStack, suppress

import pytest

from tests.v2serve.wire.echo import Running, calling, eventually, get, post, serving
from tests.v2serve.wire.http2_caller import (
    POST_BLOCK,
    PREFACE,
    Answered,
    Http2Caller,
    asked,
    calling2,
    frames_of,
)
from v2serve.wire import frames

MIB = 1 << 20


def _reluctant(running: Running) -> socket.socket:
    """A caller whose kernel takes next to nothing for it."""
    channel = socket.socket()
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    channel.connect(("127.0.0.1", running.port))
    return channel


def _ask_many(caller: Http2Caller, count: int, headers: list[tuple[str, str]]) -> list[int]:
    streams = []
    for _ in range(count):
        stream = caller.h2.get_next_available_stream_id()
        caller.h2.send_headers(stream, headers, end_stream=True)
        caller.answers[stream] = Answered()
        streams.append(stream)
    caller.flush()
    return streams


def test_an_answer_that_is_not_read_is_held_until_its_caller_leaves() -> None:
    with serving(read_seconds=5.0) as running:
        channel = _reluctant(running)
        channel.sendall(get("/big?20000000"))
        assert eventually(lambda: running.server.held > 10_000_000)
        channel.close()
        assert eventually(lambda: running.server.held == 0)


def test_an_answer_that_is_read_late_is_held_no_longer_than_that() -> None:
    with serving(read_seconds=5.0) as running, calling(running) as caller:
        caller.send(get("/big?20000000"))
        assert eventually(lambda: running.server.held > 1_000_000)
        assert len(caller.reply().body) == 20_000_000
        assert eventually(lambda: running.server.held == 0)


def test_answers_that_no_window_lets_out_are_held_and_no_more_streams_are_asked() -> None:
    with serving(read_seconds=5.0) as running, calling2(running, 0) as caller:
        caller.reading = False
        _ask_many(caller, 2, asked("/big?600000"))
        assert eventually(lambda: running.server.held > 1_200_000)
        _ask_many(caller, 50, asked("/big?600000"))
        with calling(running) as other:
            assert other.ask(get("/live")).status == 200
        assert running.echo.asked == 3
        assert running.server.held < 1_300_000


def test_streams_that_waited_are_asked_once_answers_are_taken() -> None:
    with serving(read_seconds=5.0) as running, calling2(running, 0) as caller:
        first = _ask_many(caller, 2, asked("/big?600000"))
        assert eventually(lambda: running.echo.asked == 2)
        more = _ask_many(caller, 20, asked("/big?70000"))
        caller.h2.increment_flow_control_window(100_000_000)
        for stream in first + more:
            caller.h2.increment_flow_control_window(1_000_000, stream)
        caller.flush()
        assert [len(caller.answer(stream).body) for stream in first + more] == [600_000] * 2 + [70_000] * 20
        assert eventually(lambda: running.server.held == 0)


def test_a_stream_that_waited_and_was_reset_is_never_asked() -> None:
    with serving(read_seconds=5.0) as running, calling2(running, 0) as caller:
        caller.reading = False
        (large,) = _ask_many(caller, 1, asked("/big?2000000"))
        assert eventually(lambda: running.server.held > 2_000_000)
        gone, stays = caller.ask(asked("/gone")), caller.ask(asked("/stays"))
        caller.h2.reset_stream(gone)
        caller.h2.reset_stream(large)
        caller.h2.increment_flow_control_window(100, stays)
        caller.flush()
        assert caller.answer(stays).body == b"GET /stays?"
        assert running.echo.asked == 2
        assert ("/gone", None) in running.echo.noted


def test_where_too_much_is_held_a_large_answer_becomes_a_refusal() -> None:
    with serving(read_seconds=5.0, held_bytes=1_000_000) as running, ExitStack() as stack:
        for _ in range(12):
            channel = stack.enter_context(_reluctant(running))
            channel.sendall(get("/slow/big?0.2"))
        assert eventually(lambda: running.server.held > 1_000_000)
        with calling(running) as caller, calling2(running) as caller2:
            reply = caller.ask(get("/big?100000"))
            assert (reply.status, reply.headers["retry-after"]) == (503, "1")
            assert "ask again" in reply.error
            assert caller2.answer(caller2.ask(asked("/big?100000"))).status == 503
            assert caller.ask(get("/live")).status == 200
            assert caller.ask(post("/", b"small")).status == 200
        assert running.server.held < 6_000_000  # one large answer, and refusals


@pytest.mark.parametrize("coding", ["content-encoding: gzip", "grpc-encoding: gzip"])
def test_where_too_much_is_held_what_is_compressed_is_refused_before_it_is_run(coding: str) -> None:
    with serving(read_seconds=5.0, held_bytes=100_000) as running, calling(running) as caller:
        with _reluctant(running) as channel:
            channel.sendall(get("/big?20000000"))
            assert eventually(lambda: running.server.held > 1_000_000)
            assert caller.ask(post("/small", b"x" * 100, coding)).status == 503
        assert eventually(lambda: running.server.held == 0)
        assert caller.ask(post("/small", b"x" * 100, coding)).status == 200


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return frames.frame(kind, flags, stream, payload)


def _unfinished(streams: int, size: int) -> bytes:
    """So many bodies of that size, none of which ends."""
    part = b"x" * min(size, frames.SMALLEST_MAX_FRAME)
    said = [PREFACE]
    for number in range(1, 2 * streams, 2):
        said.append(_frame(frames.HEADERS, frames.END_HEADERS, number, POST_BLOCK))
        said += [_frame(frames.DATA, 0, number, part)] * (size // len(part))
    return b"".join(said)


def test_each_byte_of_an_unfinished_body_is_held_from_the_first() -> None:
    with serving(read_seconds=5.0) as running, running.connect() as channel:
        channel.sendall(_unfinished(100, 65_536))
        assert eventually(lambda: running.server.held > 100 * 65_536)
        channel.sendall(_frame(frames.RST_STREAM, 0, 1, b"\0\0\0\x08"))
        assert eventually(lambda: running.server.held < 100 * 66_600)
    assert running.server.held == 0


def test_unfinished_bodies_never_hold_more_than_the_total_and_its_reserve() -> None:
    with serving(read_seconds=5.0, held_bytes=4 * MIB) as running, ExitStack() as stack:
        channels = [stack.enter_context(running.connect()) for _ in range(4)]
        for channel in channels:
            channel.sendall(_unfinished(128, 65_536))
        time.sleep(0.3)
        assert 11 * MIB < running.server.held < 12.5 * MIB
        with calling(running) as caller, calling2(running) as caller2:
            assert caller.ask(get("/live")).status == 200
            assert caller.ask(post("/", b"x" * 10_000)).status == 200
            assert caller.ask(post("/", b"x" * 60_000)).status == 503
            assert caller2.answer(caller2.ask(asked("/", "POST"), b"x" * 5_000)).status == 200
            assert caller2.answer(caller2.ask(asked("/", "POST"), b"x" * 60_000)).status == 503


def test_heads_in_parts_and_what_is_sent_ahead_are_held() -> None:
    with serving(read_seconds=5.0) as running, ExitStack() as stack:
        head, ahead, block = (stack.enter_context(running.connect()) for _ in range(3))
        for n in range(6):
            head.sendall(
                (b"GET / HTTP/1.1\r\nhost: h\r\n" if n == 0 else b"") + b"x-%d: " % n + b"a" * 9000 + b"\r\n"
            )
            time.sleep(0.02)
        assert eventually(lambda: 44_000 < running.server.held < 56_000)
        ahead.sendall(get("/never") + get("/ahead") * 2000)
        assert eventually(lambda: 78_000 < running.server.held < 150_000)
        block.sendall(PREFACE + _frame(frames.HEADERS, 0, 1, b"\x82" * 10_000))
        before = running.server.held
        block.sendall(_frame(frames.CONTINUATION, 0, 1, b"\x82" * 10_000))
        assert eventually(lambda: running.server.held >= before + 10_000)


def test_a_window_that_is_used_up_by_unfinished_bodies_grows_again() -> None:
    """Interleaved uploads that are together larger than the window of the connection."""
    with serving(read_seconds=5.0, body_bytes=200_000) as running, calling2(running) as caller:
        streams = [caller.ask(asked("/", "POST"), b"a" * 100_000, end=False) for _ in range(30)]
        for stream in streams:
            caller.send_body(stream, b"b" * 50_000, end=True)
        caller.flush()
        assert [len(caller.answer(stream).body) for stream in streams] == [150_000] * 30


def test_no_more_is_let_in_than_is_answered() -> None:
    with serving(read_seconds=5.0, body_bytes=200_000) as running, running.connect() as channel:
        window = 4 * (200_000 + 65_536)
        received = b""
        channel.sendall(PREFACE)
        for number in range(1, 2 * 8, 2):  # 128 KiB each, whole, and never answered
            head = _frame(frames.HEADERS, frames.END_HEADERS, number, b"\x83\x86\x44\x06/never\x01\x01h")
            part = _frame(frames.DATA, 0, number, b"x" * 16_384)
            channel.sendall(head + part * 7 + _frame(frames.DATA, frames.END_STREAM, number, b"x" * 16_384))
        assert eventually(lambda: running.echo.asked == 8)
        channel.settimeout(0.2)
        with suppress(TimeoutError):
            while True:
                received += channel.recv(65_536)
        found = frames_of(received)
        granted = [
            frames.read_u32(p) for kind, _, number, p in found if kind == frames.WINDOW_UPDATE and not number
        ]
        assert sum(granted) + frames.DEFAULT_WINDOW <= window + 131_072
