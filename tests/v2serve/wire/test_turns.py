"""Requests of one turn of the loop are answered together, and the fault of one is not that of another."""

import socket
import time
from contextlib import ExitStack

import pytest

from tests.v2serve.wire.echo import Caller, Running, calling, get, post, serving
from tests.v2serve.wire.http2_caller import Answered, asked, calling2


def _all_at_once(running: Running, messages: list[bytes]) -> list[Caller]:
    """Callers whose requests are in the kernel before the loop looks: it sleeps meanwhile."""
    callers = [Caller(running) for _ in messages]
    for caller in callers:  # each connection has been accepted
        assert caller.ask(get("/")).status == 200
    running.echo.together.clear()
    running.loop.call_soon_threadsafe(time.sleep, 0.3)
    time.sleep(0.1)
    for caller, message in zip(callers, messages, strict=True):
        caller.send(message)
    return callers


@pytest.mark.parametrize(("count", "sizes"), [(20, [20]), (100, [64, 36])])
def test_requests_that_wait_are_answered_together_sixty_four_at_a_time(count: int, sizes: list[int]) -> None:
    with serving() as running, ExitStack() as stack:
        callers = _all_at_once(running, [post("/", b"%d" % n) for n in range(count)])
        for caller in callers:
            stack.callback(caller.close)
        assert [caller.reply().body for caller in callers] == [b"%d" % n for n in range(count)]
        assert running.echo.together == sizes


def test_one_answer_that_cannot_be_written_costs_its_caller_alone() -> None:
    with serving() as running:
        first, broken, last = _all_at_once(running, [get("/a"), get("/broken"), get("/b")])
        assert first.reply().body == b"GET /a?"
        assert last.reply().body == b"GET /b?"
        with pytest.raises((ConnectionResetError, IndexError)):
            broken.reply()
        with calling(running) as caller:
            assert caller.ask(get("/c")).status == 200
        for one in (first, broken, last):
            one.close()


def test_a_caller_who_ends_its_side_in_the_same_turn_is_answered() -> None:
    with serving() as running:
        (caller,) = _all_at_once(running, [get("/last")])
        caller.socket.shutdown(socket.SHUT_WR)
        assert caller.reply().body == b"GET /last?"
        assert caller.ended()
        caller.close()


def test_a_caller_who_leaves_in_the_same_turn_is_noted_as_gone() -> None:
    with serving() as running:
        (caller,) = _all_at_once(running, [get("/gone")])
        caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        caller.close()
        with calling(running) as other:
            assert other.ask(get("/next")).status == 200
        assert [path for path, status in running.echo.noted if path == "/next"]
        assert running.echo.noted.count(("/gone", None)) + running.echo.noted.count(("/gone", 200)) <= 1


def test_streams_of_one_connection_share_a_turn() -> None:
    with serving() as running, calling2(running) as caller:
        for n in range(10):
            caller.h2.send_headers(2 * n + 1, asked(f"/{n}"), end_stream=True)
            caller.answers[2 * n + 1] = Answered()
        caller.flush()
        assert [caller.answer(2 * n + 1).body for n in range(10)] == [
            f"GET /{n}?".encode() for n in range(10)
        ]
        assert max(running.echo.together) > 1
