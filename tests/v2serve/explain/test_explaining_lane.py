"""Explanations beside other calls: few at a time, in a thread of their own, and never in front of others for long."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future as Done
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.v2serve.explain.test_explaining import WORDS_CODE, coded
from tests.v2serve.models.examples import asked, later, loaded
from tests.v2serve.servers import Reply, Running, running
from v2serve.call import Call
from v2serve.explain.lane import ExplainingLane
from v2serve.lanes import LaneLimits
from v2serve.protocol import Refusal
from v2serve.released import Served
from v2serve.turns import Turns

# A millisecond for each character of the first text; a second thread beside the first is an error.
ALONE = """
    import time

    if _inside:
        raise RuntimeError("two threads at once")
    _inside.append(1)
    time.sleep(len(inputs["text"][0]) / 1000)
    _inside.pop()
    shares"""
CODE = WORDS_CODE.replace("\n    shares", ALONE).replace(
    "import numpy as np", "import numpy as np\n\n_inside = []"
)

ROW = 0.15  # seconds
TEXT = "good " * 30
PADDING = "x" * (70 << 10)  # makes a body above 64 KiB, which is decoded in the model's thread


def slow(folder: Path) -> str:
    return coded(folder, CODE, "text", ("good bad", 0.5), {"kind": "words", "words": 3})


def call(served: Served, *texts: str, seconds: float | None = None) -> Call:
    deadline = None if seconds is None else time.perf_counter() + seconds
    array = np.array([text.encode() for text in texts], object)
    return Call({"text": array}, list(served.contract.outputs), deadline=deadline)


def explain(served: Served, *texts: str, seconds: float | None = None) -> "asyncio.Future[Any]":
    assert served.explain is not None
    asked = call(served, *texts, seconds=seconds)
    asked.parameters = {"explain": True}
    return served.explain(asked)


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


@pytest.fixture(params=["1", "4"])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    with running(tmp_path, slow(tmp_path), V2SERVE_MAX_BATCH=request.param) as found:
        yield found


def metric(server: Running, name: str) -> float:
    lines = server.ask("/metrics").body.decode().splitlines()
    return float(next(line for line in lines if line.startswith(name)).rpartition(" ")[2])


def await_metric(server: Running, name: str, value: float) -> None:
    end = time.monotonic() + 5
    while metric(server, name) != value:
        assert time.monotonic() < end
        time.sleep(0.02)


def asking(server: Running, pool: ThreadPoolExecutor, count: int, **more: str) -> list["Done[Reply]"]:
    """Each of three rows, which takes four turns of ROW seconds."""
    told = asked("text", "BYTES", [3], [TEXT] * 3)
    body = {"inputs": [told], "parameters": {"explain": True}, **more}
    return [pool.submit(server.infer, body) for _ in range(count)]


def ordinary(server: Running) -> float:
    begin = time.perf_counter()
    reply = server.infer({"inputs": [asked("text", "BYTES", [1], ["a"])]})
    assert (reply.status, reply.json["outputs"][0]["data"]) == (200, [0])
    return time.perf_counter() - begin


@pytest.mark.parametrize("more", [{}, {"padding": PADDING}], ids=["small", "large"])
def test_an_ordinary_call_waits_for_one_row_of_all_explanations(
    server: Running, more: dict[str, str]
) -> None:
    with ThreadPoolExecutor(4) as pool:
        explained = asking(server, pool, 4, **more)
        await_metric(server, "inference_queue_length", 3)
        took = [ordinary(server) for _ in range(5)]
        assert metric(server, "inference_running") >= 1
        assert max(took) < 3 * ROW, "all of what is asked before takes 16 rows"
        assert [reply.result().status for reply in explained] == [200] * 4


@pytest.mark.parametrize("more", [{}, {"padding": PADDING}], ids=["small", "large"])
def test_of_more_than_five_explanations_the_others_are_503(server: Running, more: dict[str, str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        explained = asking(server, pool, 5, **more)
        await_metric(server, "inference_queue_length", 4)
        refused = asking(server, pool, 1, **more)[0].result()
        assert (refused.status, refused.headers["retry-after"].isdigit()) == (503, True)
        told = "the queue of this model's explanations is full: 4 calls wait; try again in "
        assert refused.error.startswith(told)
        await_metric(server, "inference_queue_refused_total", 1)
        assert ordinary(server) < 3 * ROW
        assert [reply.result().status for reply in explained] == [200] * 5


def test_a_server_that_stops_finishes_the_explanations_that_it_has(server: Running) -> None:
    with ThreadPoolExecutor(2) as pool:
        explained = asking(server, pool, 2, padding=PADDING)
        await_metric(server, "inference_queue_length", 1)
        server.process.terminate()
        assert [reply.result().status for reply in explained] == [200] * 2


async def test_an_explanation_that_waits_past_its_deadline_is_504_and_is_counted(tmp_path: Path) -> None:
    served = loaded(tmp_path, slow(tmp_path))
    first, late = explain(served, TEXT), explain(served, TEXT, seconds=0.05)
    with pytest.raises(Refusal) as caught:
        await late
    assert (caught.value.status, served.lane.expired, served.lane.running) == (504, 1, 1)
    assert len(await first) == 4
    assert len(await later(served, call(served, "a"))) == 1
    await until(lambda: served.lane.running == 0)


async def test_an_explanation_that_hangs_makes_its_release_not_ready(tmp_path: Path) -> None:
    served = loaded(tmp_path, slow(tmp_path), LaneLimits(deadline_seconds=0.1))
    with pytest.raises(Refusal) as caught:
        await explain(served, "good " * 100)
    assert caught.value.status == 504
    await until(lambda: not served.ready)
    await until(lambda: served.ready)


async def test_the_threads_of_both_end_when_the_lane_is_closed(tmp_path: Path) -> None:
    served = loaded(tmp_path, slow(tmp_path))
    before = set(threading.enumerate())
    await asyncio.gather(explain(served, "good"), later(served, call(served, "a")))
    started = set(threading.enumerate()) - before
    assert len(started) == 2
    assert isinstance(served.lane, ExplainingLane)
    served.lane.close()
    await until(lambda: not any(thread.is_alive() for thread in started))


async def test_an_explanation_gives_up_where_other_calls_leave_it_no_time(tmp_path: Path) -> None:
    served = loaded(tmp_path, slow(tmp_path), LaneLimits(deadline_seconds=0.4))
    ahead = later(served, call(served, "good " * 60))
    await until(lambda: served.lane.running == 1)
    with pytest.raises(Refusal, match=r"no time to explain within 0\.2 s; try again in 2 s") as caught:
        await explain(served, "good")
    assert (caught.value.status, caught.value.headers) == (503, (("retry-after", "2"),))
    await ahead


def test_time_that_was_waited_for_others_is_not_time_of_the_rows() -> None:
    turns = Turns(needed=True)
    order: list[str] = []

    def explaining() -> None:
        with turns.behind(5):
            order.append("explanation")

    with turns.first():
        thread = threading.Thread(target=explaining)
        thread.start()
        time.sleep(0.05)
        order.append("call")
    thread.join()
    assert order == ["call", "explanation"]
    assert 0.04 < turns.waited < 5


def test_who_waits_for_a_row_has_the_next_turn() -> None:
    turns = Turns(needed=True)
    order: list[str] = []

    def run() -> None:
        with turns.first():
            order.append("call")

    calls = [threading.Thread(target=run) for _ in range(3)]
    with turns.behind(5):
        for thread in calls:
            thread.start()
        while turns._wanted < 3:
            time.sleep(0.001)
    with turns.behind(5):
        order.append("explanation")
    for thread in calls:
        thread.join()
    assert order == ["call"] * 3 + ["explanation"]


def test_code_that_runs_in_several_threads_anyway_needs_no_turns() -> None:
    turns = Turns()
    with turns.first(), turns.behind(0):
        assert turns.waited == 0


def test_what_was_decoded_in_a_thread_has_the_rest_of_its_time_to_be_explained(tmp_path: Path) -> None:
    with (
        running(tmp_path, slow(tmp_path), V2SERVE_DEADLINE_SECONDS="1") as server,
        ThreadPoolExecutor(2) as pool,
    ):
        told = asked("text", "BYTES", [1], ["good " * 160])
        ahead = pool.submit(server.infer, {"inputs": [told]})
        await_metric(server, "inference_running", 1)
        begin = time.perf_counter()
        reply = asking(server, pool, 1, padding=PADDING)[0].result()
        assert reply.status in (503, 504), reply.body
        assert time.perf_counter() - begin < 1.5
        assert ahead.result().status == 200
