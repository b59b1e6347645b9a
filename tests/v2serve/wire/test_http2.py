"""HTTP/2: what a caller who keeps the rules is given."""

import time

import pytest

from tests.v2serve.wire.echo import Running, calling, eventually, get, serving
from tests.v2serve.wire.http2_caller import asked, calling2


@pytest.fixture(autouse=True)
def _nothing_noted(running: Running) -> None:
    running.forget()


def test_one_port_speaks_both(running: Running) -> None:
    with calling(running) as one, calling2(running) as two:
        assert one.ask(get("/1")).body == b"GET /1?"
        assert two.answer(two.ask(asked("/2?q"))).body == b"GET /2?q"


def test_a_body_comes_back_with_its_length(running: Running) -> None:
    with calling2(running) as caller:
        for body in (b"one", b"x" * 70_000, b"y" * 200_000):
            answer = caller.answer(caller.ask(asked("/", "POST"), body))
            assert (answer.status, answer.body) == (200, body)
            assert answer.headers["content-length"] == str(len(body))


def test_more_bodies_than_the_window_of_the_connection_arrive(running: Running) -> None:
    with calling2(running) as caller:
        for _ in range(12):
            assert len(caller.answer(caller.ask(asked("/", "POST"), b"z" * 190_000)).body) == 190_000


def test_an_answer_with_trailers_is_what_grpc_wants(running: Running) -> None:
    with calling2(running) as caller:
        answer = caller.answer(caller.ask(asked("/grpc", "POST", ("te", "trailers")), b"\0\0\0\0\0"))
        assert (answer.body, answer.trailers) == (b"\0\0\0\0\0", {"grpc-status": "0"})
        assert "content-length" not in answer.headers
        assert answer.headers["content-type"] == "application/grpc"


def test_answers_come_as_they_are_ready(running: Running) -> None:
    with calling2(running) as caller:
        slow, fast = caller.ask(asked("/later?0.2", "POST"), b"slow"), caller.ask(asked("/fast"))
        assert caller.answer(slow).body == b"later slow"
        assert caller.order == [fast, slow]


def test_head_has_the_length_and_not_the_body(running: Running) -> None:
    with calling2(running) as caller:
        answer = caller.answer(caller.ask(asked("/h", "HEAD")))
        assert (answer.headers["content-length"], answer.body) == (str(len("HEAD /h?")), b"")


def test_headers_are_joined_and_authority_is_the_host(running: Running) -> None:
    with calling2(running) as caller:
        answer = caller.answer(caller.ask(asked("/", "GET", ("x-say", "a"), ("x-say", "b"))))
        assert answer.headers["x-seen"] == "a, b"


def test_repeated_heads_mean_the_same_and_changed_ones_do_not(running: Running) -> None:
    with calling2(running) as caller:
        for n in (1, 1, 1, 2, 1, 3, 3, 2):
            answer = caller.answer(caller.ask(asked(f"/p{n}", "GET", ("x-say", f"s{n}"))))
            assert (answer.body, answer.headers["x-seen"]) == (f"GET /p{n}?".encode(), f"s{n}")


@pytest.mark.parametrize("window", [0, 1, 100, 20_000])
def test_the_windows_of_the_caller_are_kept(running: Running, window: int) -> None:
    with calling2(running, window) as caller:
        caller.reading = False
        stream = caller.ask(asked("/big?50000"))
        caller.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            caller.answer(stream)
        assert len(caller.answers[stream].body) == window
        caller.socket.settimeout(5)
        caller.h2.increment_flow_control_window(50_000, stream)
        caller.flush()
        assert caller.answer(stream).body == b"b" * 50_000


def test_a_small_answer_is_not_kept_waiting_by_a_blocked_one(running: Running) -> None:
    with calling2(running, 100) as caller:
        caller.reading = False
        blocked = caller.ask(asked("/big?50000"))
        assert caller.answer(caller.ask(asked("/s"))).body == b"GET /s?"
        assert not caller.answers[blocked].ended


def test_continue_is_said_to_a_caller_who_waits_for_it(running: Running) -> None:
    with calling2(running) as caller:
        stream = caller.ask(asked("/", "POST", ("expect", "100-continue")), end=False)
        caller.h2.send_data(stream, b"body", end_stream=True)
        caller.flush()
        assert caller.answer(stream).body == b"body"


def test_a_reset_cancels_the_future(running: Running) -> None:
    with calling2(running) as caller:
        before = len(running.echo.futures)
        stream = caller.ask(asked("/never"))
        assert eventually(lambda: len(running.echo.futures) > before)
        caller.h2.reset_stream(stream)
        caller.flush()
        assert eventually(running.echo.futures[-1].cancelled)
        assert caller.answer(caller.ask(asked("/after"))).status == 200
        assert running.echo.noted == [("/never", None), ("/after", 200)]


def test_a_caller_who_leaves_cancels_all_its_futures(running: Running) -> None:
    with calling2(running) as caller:
        before = len(running.echo.futures)
        noted = len(running.echo.noted)
        caller.ask(asked("/never"))
        caller.ask(asked("/never"))
        assert eventually(lambda: len(running.echo.futures) == before + 2)
    assert eventually(lambda: all(future.cancelled() for future in running.echo.futures[before:]))
    # The caller of another test may be noted late.
    assert eventually(lambda: running.echo.noted[noted:].count(("/never", None)) >= 2)


def test_a_refused_request_is_heard_and_the_connection_stays(running: Running) -> None:
    with calling2(running) as caller:
        assert caller.answer(caller.ask(asked("/missing", "POST"), b"body")).status == 404
        assert caller.answer(caller.ask(asked("/raise"))).status == 500
        assert caller.answer(caller.ask(asked("/a%ff"))).status == 400
        assert caller.answer(caller.ask(asked("/" + "a" * 9000))).status == 414
        assert caller.answer(caller.ask(asked("/", "GET", ("x", "a" * 21_000)))).status == 431
        assert caller.answer(caller.ask(asked("/fine"))).status == 200
        assert running.echo.noted == [("/raise", 500), ("/fine", 200)]


@pytest.mark.parametrize("length", [(), (("content-length", "230000"),)])
def test_a_body_that_is_too_large_is_413_before_it_has_all_come(
    running: Running, length: tuple[tuple[str, str], ...]
) -> None:
    with calling2(running) as caller:
        stream = caller.ask(asked("/", "POST", *length), b"x" * 230_000, end=False)
        answer = caller.answer(stream)
        assert answer.status == 413
        assert b"V2SERVE_MAX_BODY_BYTES allows 200000" in answer.body
        assert caller.answer(caller.ask(asked("/after"))).status == 200


def test_a_held_body_beyond_the_total_is_503() -> None:
    with serving(read_seconds=5.0, held_bytes=100_000) as running, calling2(running) as caller:
        caller.ask(asked("/never", "POST"), b"x" * 90_000)
        assert eventually(lambda: 90_000 < running.server.held < 92_000)  # with its head
        refused = caller.answer(caller.ask(asked("/", "POST"), b"x" * 90_000))
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert caller.answer(caller.ask(asked("/", "POST"), b"x" * 60_000)).status == 200


def test_slow_bodies_are_408_and_idle_connections_end() -> None:
    with serving(read_seconds=0.3) as running, calling2(running) as caller:
        stream = caller.ask(asked("/", "POST"), b"some", end=False)
        answer = caller.answer(stream)
        assert (answer.status, b"did not arrive within 0.3 s" in answer.body) == (408, True)
        while caller.receive():
            pass
        assert caller.goaway == 0


def test_an_answer_that_no_window_lets_out_is_given_up() -> None:
    with serving(read_seconds=0.3) as running, calling2(running, 10) as caller:
        caller.reading = False
        assert caller.answer(caller.ask(asked("/big?1000"))).reset == 8
        assert running.echo.noted == [("/big", None)]


def test_a_draining_server_says_goaway_and_answers_what_comes() -> None:
    with serving(read_seconds=5.0) as running, calling2(running) as caller:
        slow = caller.ask(asked("/later?0.4"))
        assert eventually(lambda: running.echo.asked == 1)
        running.stop()
        began = time.monotonic()
        assert caller.answer(slow).body == b"later "
        while caller.receive():
            pass
        assert (caller.goaway, time.monotonic() - began < 2) == (0, True)
        running.thread.join(5)
