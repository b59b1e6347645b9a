"""HTTP/2: callers who break the rules, each by the code that RFC 9113 has for it, and the others served on."""

from collections.abc import Iterator

import pytest

from tests.v2serve.wire.echo import Running, calling, ended_while_sending, get, serving
from tests.v2serve.wire.http2_caller import BLOCK, POST_BLOCK, PREFACE, goaway_code, reset_code
from v2serve.wire import frames
from v2serve.wire.blocks import literal
from v2serve.wire.frames import Code, frame

_ENDS = frames.END_STREAM | frames.END_HEADERS
_GET = frame(frames.HEADERS, _ENDS, 1, BLOCK)
_OPEN = frame(frames.HEADERS, frames.END_HEADERS, 1, POST_BLOCK)


@pytest.fixture(autouse=True)
def _a_good_caller_is_served_afterwards(running: Running) -> Iterator[None]:
    yield
    with calling(running) as caller:
        assert caller.ask(get("/good")).status == 200


CONNECTION: list[tuple[str, bytes, Code]] = [
    ("a frame that is too large", frame(frames.DATA, 0, 1, b"x" * 16_385), Code.FRAME_SIZE_ERROR),
    (
        "a head that is not HPACK",
        frame(frames.HEADERS, _ENDS, 1, b"\xff\xff\xff\xff\xff\xff"),
        Code.COMPRESSION_ERROR,
    ),
    ("an even stream", frame(frames.HEADERS, _ENDS, 2, BLOCK), Code.PROTOCOL_ERROR),
    ("a stream of nothing", frame(frames.DATA, 0, 0, b"x"), Code.PROTOCOL_ERROR),
    ("DATA before HEADERS", frame(frames.DATA, 0, 1, b"x"), Code.PROTOCOL_ERROR),
    ("too much padding", _OPEN + frame(frames.DATA, frames.PADDED, 1, b"\x09abc"), Code.PROTOCOL_ERROR),
    ("a push", frame(frames.PUSH_PROMISE, frames.END_HEADERS, 1, b"\0\0\0\2" + BLOCK), Code.PROTOCOL_ERROR),
    ("a lonely CONTINUATION", frame(frames.CONTINUATION, frames.END_HEADERS, 1, BLOCK), Code.PROTOCOL_ERROR),
    ("a head in two pieces of two streams", frame(frames.HEADERS, 1, 1, BLOCK) + _GET, Code.PROTOCOL_ERROR),
    ("a short ping", frame(frames.PING, 0, 0, b"1234567"), Code.FRAME_SIZE_ERROR),
    ("a window above 2^31-1", frames.window_update(0, frames.LARGEST_WINDOW), Code.FLOW_CONTROL_ERROR),
    ("a window that grows by nothing", frames.window_update(0, 0), Code.PROTOCOL_ERROR),
    (
        "a setting out of range",
        frame(frames.SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff"),
        Code.FLOW_CONTROL_ERROR,
    ),
    ("settings of a broken length", frame(frames.SETTINGS, 0, 0, b"\0\4"), Code.FRAME_SIZE_ERROR),
]


@pytest.mark.parametrize(("data", "code"), [c[1:] for c in CONNECTION], ids=[c[0] for c in CONNECTION])
def test_a_broken_connection_is_told_why_and_ended(running: Running, data: bytes, code: Code) -> None:
    assert goaway_code(running, data) == code


def test_the_first_frame_must_be_settings(running: Running) -> None:
    with running.connect() as channel:
        channel.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(frames.PING, 0, 0, b"12345678"))
        channel.settimeout(2)
        received = b""
        while part := channel.recv(65536):
            received += part
    assert b"the first frame is not SETTINGS" in received


def _head(*pairs: tuple[bytes, bytes], start: bytes = BLOCK) -> bytes:
    more = b"".join(b"\x00" + literal(name) + literal(value) for name, value in pairs)
    return frame(frames.HEADERS, _ENDS, 1, start + more)


STREAM: list[tuple[str, bytes, Code]] = [
    ("an upper-case name", _head((b"X-Up", b"1")), Code.PROTOCOL_ERROR),
    ("a line feed in a value", _head((b"x", b"a\r\nb: c")), Code.PROTOCOL_ERROR),
    ("connection", _head((b"connection", b"close")), Code.PROTOCOL_ERROR),
    ("transfer-encoding", _head((b"transfer-encoding", b"chunked")), Code.PROTOCOL_ERROR),
    ("te of another kind", _head((b"te", b"gzip")), Code.PROTOCOL_ERROR),
    ("a pseudo-header twice", _head((b":path", b"/x")), Code.PROTOCOL_ERROR),
    ("an unknown pseudo-header", _head((b":what", b"x")), Code.PROTOCOL_ERROR),
    ("a pseudo-header too late", _head((b"x", b"1"), (b":authority", b"h")), Code.PROTOCOL_ERROR),
    ("no path", _head(start=b"\x82\x86"), Code.PROTOCOL_ERROR),
    ("a length that is none", _head((b"content-length", b"1x")), Code.PROTOCOL_ERROR),
    ("a length that is wrong", _head((b"content-length", b"1")), Code.PROTOCOL_ERROR),
    ("HEADERS after the end", _GET + _GET, Code.STREAM_CLOSED),
    ("DATA after the end", _GET + frame(frames.DATA, 0, 1, b"x"), Code.STREAM_CLOSED),
    ("a window of a stream that grows by nothing", _OPEN + frames.window_update(1, 0), Code.PROTOCOL_ERROR),
    (
        "a window of a stream above 2^31-1",
        _OPEN + frames.window_update(1, frames.LARGEST_WINDOW),
        Code.FLOW_CONTROL_ERROR,
    ),
]


@pytest.mark.parametrize(("data", "code"), [c[1:] for c in STREAM], ids=[c[0] for c in STREAM])
def test_a_broken_stream_is_reset_and_the_connection_stays(running: Running, data: bytes, code: Code) -> None:
    assert reset_code(running, data) == code


def _rapid() -> bytes:
    return b"".join(
        frame(frames.HEADERS, frames.END_HEADERS, n, POST_BLOCK) + frames.reset(n, Code.CANCEL)
        for n in range(1, 6001, 2)
    )


FLOODS: list[tuple[str, bytes]] = [
    ("rapid resets", _rapid()),
    ("pings", frame(frames.PING, 0, 0, b"12345678") * 3000),
    ("settings", frame(frames.SETTINGS, 0, 0) * 3000),
    ("empty data", _OPEN + frame(frames.DATA, 0, 1) * 3000),
    ("priorities", frame(frames.PRIORITY, 0, 1, b"\0\0\0\3\0") * 3000),
    ("unknown frames", frame(77, 0, 0) * 3000),
    ("empty continuations", frame(frames.HEADERS, 1, 1, BLOCK) + frame(frames.CONTINUATION, 0, 1) * 3000),
    (
        "a head without end",
        frame(frames.HEADERS, 1, 1, BLOCK) + frame(frames.CONTINUATION, 0, 1, b"x" * 9000) * 9,
    ),
    (
        "a bomb",
        _head((b"x", b"y" * 4000), start=BLOCK + b"\x40\x01x" + literal(b"y" * 4000) + b"\xbe" * 3000),
    ),
]


@pytest.mark.parametrize("data", [c[1] for c in FLOODS], ids=[c[0] for c in FLOODS])
def test_a_flood_is_ended(running: Running, data: bytes) -> None:
    assert goaway_code(running, data) == Code.ENHANCE_YOUR_CALM


def test_streams_above_the_limit_are_refused_and_may_be_asked_again() -> None:
    opened = b"".join(frame(frames.HEADERS, frames.END_HEADERS, n, POST_BLOCK) for n in (1, 3, 5))
    with serving(read_seconds=5.0, streams=2) as running:
        assert reset_code(running, opened, 5) == Code.REFUSED_STREAM
        assert reset_code(running, opened, 3) is None


def test_a_frame_that_trickles_in_is_ended() -> None:
    with serving(read_seconds=0.3) as running, running.connect() as channel:
        channel.sendall(PREFACE + b"\0\x40\0")
        assert ended_while_sending(channel, b"\0")


def test_a_server_can_stop_while_a_broken_caller_lingers() -> None:
    with serving(read_seconds=5.0) as running, running.connect() as channel:
        channel.sendall(PREFACE + frames.window_update(0, 0))
        while channel.recv(65536):
            pass
        running.call("drain")
        running.stop()
        running.thread.join(5)
        assert not running.thread.is_alive()
