"""Callers who take too long: each is ended in bounded time, and nobody else notices."""

import time

import pytest

from tests.v2serve.wire.echo import calling, ended_while_sending, eventually, get, serving

QUICK = {"read_seconds": 0.3}


def test_silence_is_ended_without_a_word() -> None:
    with serving(**QUICK) as running, calling(running) as silent, calling(running) as idle:
        assert idle.ask(get("/")).status == 200
        assert silent.file.read() == b""
        assert idle.file.read() == b""


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"GET / HT", "head"),
        (b"GET / HTTP/1.1\r\nhost: h\r\nx-long: ", "head"),
        (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nabc", "body"),
        (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", "body"),
    ],
)
def test_a_request_that_trickles_in_is_408(data: bytes, part: str) -> None:
    with serving(**QUICK) as running, calling(running) as caller:
        for at in range(len(data)):
            caller.send(data[at : at + 1])
            time.sleep(0.001)
        reply = caller.reply()
        assert (reply.status, reply.headers["connection"]) == (408, "close")
        assert reply.error.startswith(f"the {part} did not arrive within 0.3 s")
        assert caller.ended()


def test_a_refused_body_that_does_not_come_is_waited_for_no_longer_than_one_that_is_wanted() -> None:
    with serving(**QUICK) as running, calling(running) as caller:
        caller.send(b"POST /missing HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nabc")
        assert caller.reply().status == 404
        assert caller.ended()


def test_a_model_may_take_longer_than_a_caller() -> None:
    with serving(**QUICK) as running, calling(running) as caller:
        assert caller.ask(get("/later?1.0")).body == b"later "


def test_a_caller_who_does_not_read_its_answer_is_cut_off() -> None:
    with serving(**QUICK) as running, calling(running) as caller:
        caller.send(get("/big?30000000") + get("/behind"))
        assert eventually(lambda: running.server.connections == 0)
        assert eventually(lambda: ("/behind", None) in running.echo.noted)


def test_a_refused_caller_who_goes_on_sending_is_ended() -> None:
    with serving(**QUICK) as running, calling(running) as caller:
        caller.send(b"garbage\r\n\r\n")
        assert caller.reply().status == 400
        assert ended_while_sending(caller.socket, b"more")


def test_a_newcomer_gets_in_where_idle_connections_fill_the_server() -> None:
    with serving(read_seconds=4.0, connections=5) as running:
        idle = [running.connect() for _ in range(5)]
        assert eventually(lambda: running.server.connections == 5)
        with calling(running) as probe:
            assert probe.ask(get("/live")).status == 200
        for one in idle:
            one.close()


def test_a_newcomer_gets_in_where_busy_connections_fill_the_server() -> None:
    with serving(read_seconds=4.0, connections=1) as running, calling(running) as busy:
        busy.send(get("/later?0.8"))
        assert eventually(lambda: running.echo.asked == 1)
        with calling(running) as probe:
            probe.send(get("/live"))
            assert busy.reply().headers["connection"] == "close"
            busy.close()
            assert probe.reply().status == 200


def test_half_a_preface_is_ended() -> None:
    with serving(**QUICK) as quick, calling(quick) as caller:
        caller.send(b"PRI * HTTP/2.0\r\n\r\nS")
        assert caller.file.read() == b""
