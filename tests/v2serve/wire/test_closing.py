"""Draining and the end: nobody who has asked goes without an answer."""

import threading
import time

from tests.v2serve.wire.echo import calling, eventually, get, post, serving


def test_a_draining_server_says_close_and_still_takes_newcomers() -> None:
    with serving(read_seconds=5.0) as running, calling(running) as old:
        assert "connection" not in old.ask(get("/")).headers
        running.call("drain")
        assert old.ask(get("/")).headers["connection"] == "close"
        assert old.ended()
        with calling(running) as new:
            assert new.ask(get("/")).headers["connection"] == "close"


def test_newcomers_are_turned_away_while_the_connected_are_served() -> None:
    with serving(read_seconds=5.0) as running, calling(running) as old:
        assert old.ask(get("/")).status == 200
        running.call("turn_newcomers_away")
        late = running.connect
        problem: list[BaseException] = []

        def knock() -> None:
            try:
                late()
            except OSError as error:
                problem.append(error)

        knocking = threading.Thread(target=knock, daemon=True)
        knocking.start()
        knocking.join(0.5)
        assert knocking.is_alive()
        assert old.ask(get("/")).status == 200
        running.stop()
        knocking.join(5)
        assert problem


def test_what_has_arrived_is_answered_before_the_end() -> None:
    with serving(read_seconds=5.0) as running, calling(running) as slow, calling(running) as idle:
        assert idle.ask(get("/")).status == 200
        slow.send(get("/later?0.4"))
        assert eventually(lambda: running.echo.asked == 2)
        running.stop()
        assert idle.file.read() == b""
        reply = slow.reply()
        assert (reply.body, reply.headers["connection"]) == (b"later ", "close")
        assert slow.ended()
        running.thread.join(5)


def test_callers_in_the_backlog_are_answered_before_the_end() -> None:
    with serving(read_seconds=5.0) as running:
        waiting = threading.Event()
        running.loop.call_soon_threadsafe(lambda: (waiting.set(), time.sleep(0.3)))
        assert waiting.wait(5)
        callers = [calling(running) for _ in range(20)]
        entered = [caller.__enter__() for caller in callers]
        running.loop.call_soon_threadsafe(running._stop.set)
        for caller in entered:
            caller.send(post("/", b"in the backlog"))
        assert [caller.reply().body for caller in entered] == [b"in the backlog"] * 20
        for context in callers:
            context.__exit__(None, None, None)


def test_what_takes_longer_than_the_grace_is_cut_off() -> None:
    with serving(read_seconds=5.0) as running, calling(running) as caller:
        running.grace = 0.2
        caller.send(get("/never"))
        assert eventually(lambda: running.echo.asked == 1)
        began = time.monotonic()
        running.stop()
        assert caller.file.read() == b""
        running.thread.join(5)
        assert time.monotonic() - began < 2
        assert running.echo.noted == [("/never", None)]
        assert running.echo.futures[0].cancelled()
