"""HTTP/1: what a caller who keeps the rules is given."""

import time

import pytest

from tests.v2serve.wire.echo import Caller, Running, calling, eventually, get, post, serving


def test_a_body_comes_back_and_the_connection_stays(caller: Caller) -> None:
    for body in (b"one", b"", b"x" * 150_000):
        reply = caller.ask(post("/echo", body))
        assert reply.status == 200
        assert reply.body == (body or b"POST /echo?")
        assert reply.headers["content-length"] == str(len(reply.body))
        assert reply.headers["date"].endswith("GMT")
        assert "connection" not in reply.headers


def test_pipelined_requests_are_answered_in_order(caller: Caller) -> None:
    paths = ["/a", "/later?0.05", "/b", "/later?0.01", "/c"]
    caller.send(b"".join(post(path, path.encode()) for path in paths))
    answers = [caller.reply().body for _ in paths]
    assert answers == [b"/a", b"later /later?0.05", b"/b", b"later /later?0.01", b"/c"]


def test_thousands_of_pipelined_requests_are_all_answered(caller: Caller) -> None:
    caller.send(get("/later") + get("/n") * 3000)
    assert caller.reply().body == b"later "
    assert all(caller.reply().body == b"GET /n?" for _ in range(3000))


def test_chunks_make_one_body_and_trailers_are_tolerated(caller: Caller) -> None:
    head = b"POST /e HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
    assert caller.ask(head + b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 1\r\n\r\n").body == b"abcde"
    assert caller.ask(get("/after")).body == b"GET /after?"


def test_head_has_the_length_and_not_the_body(caller: Caller) -> None:
    caller.send(b"HEAD /h HTTP/1.1\r\nhost: h\r\n\r\n" + get("/g"))
    assert caller.reply(head=True).headers["content-length"] == str(len("HEAD /h?"))
    assert caller.reply().body == b"GET /g?"


def test_connection_close_is_said_and_done(caller: Caller) -> None:
    reply = caller.ask(get("/", "connection: close") + get("/ignored"))
    assert reply.headers["connection"] == "close"
    assert caller.ended()


@pytest.mark.parametrize(("line", "said"), [("", "close"), ("connection: keep-alive\r\n", "keep-alive")])
def test_http_1_0_keeps_the_connection_only_if_asked(caller: Caller, line: str, said: str) -> None:
    reply = caller.ask(f"GET /old HTTP/1.0\r\n{line}\r\n".encode())
    assert (reply.status, reply.headers["connection"]) == (200, said)
    assert said == "keep-alive" or caller.ended()


def test_continue_is_said_to_a_caller_who_waits_for_it(caller: Caller) -> None:
    assert (
        caller.ask(post("/e", b"", "expect: 100-continue", "x-say: 1").replace(b": 0", b": 2")).status == 100
    )
    assert caller.ask(b"ok").body == b"ok"


def test_continue_comes_after_the_answers_before_it(caller: Caller) -> None:
    caller.send(
        get("/later?0.05")
        + b"POST /e HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
    )
    assert caller.reply().body == b"later "
    assert caller.reply().status == 100
    assert caller.ask(b"ok").body == b"ok"


def test_a_repeated_header_is_joined_and_names_are_lower_case(caller: Caller) -> None:
    assert caller.ask(get("/", "X-Say: a", "x-sAY: b")).headers["x-seen"] == "a, b"


def test_paths_are_decoded_and_absolute_targets_are_taken(caller: Caller) -> None:
    assert caller.ask(get("/a%20%C3%A9?q=%20")).body == "GET /a é?q=%20".encode()
    assert caller.ask(get("http://h:80/abs?x")).body == b"GET /abs?x"
    assert caller.ask(get("http://h")).body == b"GET /?"
    assert caller.ask(b"OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n").body == b"OPTIONS *?"


def test_an_upgrade_is_not_taken(caller: Caller) -> None:
    upgrade = get("/u", "connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAMAAABk")
    caller.send(upgrade + get("/next"))
    assert caller.reply().body == b"GET /u?"
    assert caller.reply().body == b"GET /next?"


@pytest.mark.parametrize("size", [1, 70_000])
def test_a_body_behind_an_upgrade_that_is_not_taken_is_a_body(caller: Caller, size: int) -> None:
    body = b"b" * size
    caller.send(post("/u", body, "connection: upgrade, close", "upgrade: h2c") + get("/never"))
    reply = caller.reply()
    assert (reply.body, reply.headers["connection"]) == (body, "close")
    assert caller.ended()


def test_each_admitted_request_is_noted_once(running: Running, caller: Caller) -> None:
    caller.send(get("/one") + get("/missing") + get("/raise") + get("/later"))
    assert [caller.reply().status for _ in range(4)] == [200, 404, 500, 200]
    assert eventually(lambda: len(running.echo.noted) >= 3)
    assert running.echo.noted == [("/one", 200), ("/raise", 500), ("/later", 200)]


def test_a_future_is_cancelled_when_its_caller_leaves(running: Running) -> None:
    running.echo.noted.clear()
    with calling(running) as caller:
        before = len(running.echo.futures)
        caller.send(get("/never") + get("/behind"))
        assert eventually(lambda: len(running.echo.futures) > before)
    assert eventually(running.echo.futures[-1].cancelled)
    assert eventually(lambda: sorted(running.echo.noted) == [("/behind", None), ("/never", None)])


@pytest.mark.parametrize("path", ["/raise", "/raise/admit"])
def test_an_application_that_raises_is_a_500_and_no_traceback(
    caller: Caller, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    reply = caller.ask(get(path))
    assert (reply.status, reply.error) == (500, "internal error; the server's log says more")
    assert "ValueError" in caplog.text
    assert caller.ask(get("/fine")).status == 200


def test_a_caller_who_ends_its_side_is_answered_what_can_be_answered_at_once(caller: Caller) -> None:
    caller.send(get("/a") + get("/b"))
    caller.socket.shutdown(1)
    assert [caller.reply().body, caller.reply().body] == [b"GET /a?", b"GET /b?"]
    assert caller.ended()


def test_a_caller_who_does_not_read_is_not_buffered_for_without_end() -> None:
    with serving(read_seconds=5.0) as running, calling(running) as caller:
        caller.send(get("/big?1000000") * 200)
        time.sleep(0.3)
        assert running.echo.asked < 30
        assert all(len(caller.reply().body) == 1_000_000 for _ in range(200))
        assert caller.ask(get("/after")).status == 200


def test_large_bodies_one_after_another_are_all_read(caller: Caller) -> None:
    for _ in range(5):
        assert len(caller.ask(post("/", b"x" * 190_000)).body) == 190_000
