"""Whatever way bytes are cut on their way, the answers are the same; whatever bytes come, the next caller is served."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.v2serve.wire.echo import Running, calling, get, post, serving
from tests.v2serve.wire.http2_caller import BLOCK, POST_BLOCK, PREFACE, frames_of
from v2serve.wire import frames
from v2serve.wire.frames import frame

PIPELINED = (
    get("/a?1")
    + post("/b", b"body of b")
    + b"POST /c HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
    + b"4\r\nbody\r\n5;e=1\r\n of c\r\n0\r\nx: y\r\n\r\n"
    + get("/later?0.001")
    + post("/missing", b"unheard")
    + b"HEAD /h HTTP/1.1\r\nhost: h\r\n\r\n"
    + post("/d", b"x" * 700)
    + get("/end", "connection: close")
)
_ENDS = frames.END_STREAM | frames.END_HEADERS
MULTIPLEXED = (
    PREFACE
    + frame(frames.HEADERS, _ENDS, 1, BLOCK)
    + frame(frames.HEADERS, frames.END_HEADERS, 3, POST_BLOCK)
    + frame(frames.HEADERS, frames.END_STREAM, 5, BLOCK[:2])
    + frame(frames.CONTINUATION, 0, 5, BLOCK[2:4])
    + frame(frames.CONTINUATION, frames.END_HEADERS, 5, BLOCK[4:])
    + frame(frames.DATA, frames.PADDED, 3, b"\x03body\0\0\0")
    + frame(77, 0, 0, b"unknown")
    + frame(frames.DATA, frames.END_STREAM, 3, b" of three")
    + frame(frames.PING, 0, 0, b"the end.")
)

many = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def quick() -> Iterator[Running]:
    with serving(read_seconds=0.3) as server:
        yield server


def pieces(data: bytes) -> st.SearchStrategy[list[bytes]]:
    cuts = st.lists(st.integers(0, len(data)), max_size=12).map(lambda at: [0, *sorted(at), len(data)])
    return cuts.map(lambda at: [data[a:b] for a, b in pairwise(at)])


def received(
    server: Running, parts: list[bytes], done: Callable[[bytes], bool] = lambda data: False
) -> bytes:
    data = b""
    with server.connect() as channel:
        for part in parts:
            channel.sendall(part)
        while not done(data):
            more = channel.recv(65536)
            if not more:
                break
            data += more
    return data


def undated(data: bytes) -> list[bytes]:
    return [line for line in data.split(b"\r\n") if not line.startswith(b"date: ")]


@many
@given(parts=pieces(PIPELINED))
def test_any_split_of_pipelined_requests_gives_the_same_answers(running: Running, parts: list[bytes]) -> None:
    assert undated(received(running, parts)) == undated(received(running, [PIPELINED]))
    bodies = received(running, parts)
    assert bodies.count(b"HTTP/1.1 200 OK") == 7
    assert bodies.count(b"HTTP/1.1 404") == 1


@many
@given(parts=pieces(MULTIPLEXED))
def test_any_split_of_frames_gives_the_same_answers(running: Running, parts: list[bytes]) -> None:
    def done(data: bytes) -> bool:
        bodies = [payload for kind, _, _, payload in frames_of(data) if kind == frames.DATA]
        return b"the end." in data and len(bodies) == 3 and "".join(map(bytes.decode, bodies)).count("?") == 2

    answered = {
        (stream, payload)
        for kind, _, stream, payload in frames_of(received(running, parts, done))
        if kind in (frames.DATA, frames.RST_STREAM, frames.GOAWAY)
    }
    assert answered == {(1, b"GET /?"), (3, b"body of three"), (5, b"GET /?")}


@many
@given(
    start=st.sampled_from(
        [b"", PIPELINED[:30], PREFACE, MULTIPLEXED[:60], b"POST / HTTP/1.1\r\nhost: h\r\n"]
    ),
    garbage=st.binary(max_size=400),
)
def test_garbage_never_keeps_the_next_caller_from_being_served(
    quick: Running, start: bytes, garbage: bytes
) -> None:
    with quick.connect() as channel:
        channel.sendall(start + garbage)
        channel.shutdown(1)
        while channel.recv(65536):
            pass
    with calling(quick) as caller:
        assert caller.ask(get("/good")).status == 200
    assert quick.server.held == 0
