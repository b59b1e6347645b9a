"""Queues are bounded, late calls are told so in time, and a worker that hangs does not go unnoticed."""

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.v2serve.artifacts import iris
from tests.v2serve.models.examples import call, later, loaded, slow_model, write_graph
from v2serve.lanes import InlineLane, LaneLimits, ThreadLane
from v2serve.pipeline import Pipeline
from v2serve.protocol import Refusal
from v2serve.released import Served


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Open at the end, so that no worker waits for it longer than its test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def slow(tmp_path: Path) -> Served:
    return loaded(tmp_path, slow_model(tmp_path), LaneLimits(deadline_seconds=5))


@pytest.fixture
def pipeline(slow: Served) -> Pipeline:
    lane = slow.lane
    assert isinstance(lane, ThreadLane)
    return lane._pipeline


class Payload:
    """What a call holds."""


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen within two seconds")


async def test_an_inline_model_answers_without_a_future(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, iris()))
    assert isinstance(served.lane, InlineLane)
    answer = served.infer(call(served, {"features": [[5.1, 3.5, 1.4, 0.2]]}, "label"))
    assert isinstance(answer, list)
    assert answer[0].tolist() == [2]


async def test_an_inline_call_that_is_late_already_is_504(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, iris()))
    asked = call(served, {"features": [[5.1, 3.5, 1.4, 0.2]]})
    asked.deadline = time.perf_counter()
    with pytest.raises(Refusal, match="the deadline of this call has passed") as caught:
        served.infer(asked)
    assert caught.value.status == 504
    assert served.lane.expired == 1


async def test_a_large_body_of_an_inline_model_is_worked_on_in_a_thread(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, iris()))
    name = await served.lane.work(lambda: threading.current_thread().name)
    assert name == "inference"


async def test_a_slow_model_runs_beside_the_loop(slow: Served) -> None:
    future = slow.infer(call(slow, {"x": [1]}, seconds=0.05))
    assert isinstance(future, asyncio.Future)
    assert not future.done()
    (array,) = await future
    assert array.tolist() == [1]
    assert slow.lane.batches == {1: 1}


async def test_what_a_function_raises_is_what_its_caller_gets(pipeline: Pipeline) -> None:
    lane = ThreadLane(pipeline, LaneLimits())
    with pytest.raises(ZeroDivisionError):
        await lane.work(lambda: 1 / 0)
    with pytest.raises(RuntimeError, match="SystemExit in a worker: 3"):
        await lane.work(lambda: exec("raise SystemExit(3)"))  # noqa: S102
    assert await lane.work(lambda: "alive") == "alive"


async def test_an_answer_that_is_there_does_not_wait_for_the_next_call(
    pipeline: Pipeline, gate: threading.Event
) -> None:
    lane = ThreadLane(pipeline, LaneLimits(concurrency=1, queue=8))
    quick = [lane.work(partial(int, 7)) for _ in range(2)]
    hanging = [lane.work(gate.wait) for _ in range(2)]
    assert await asyncio.wait_for(asyncio.gather(*quick), 1) == [7, 7]
    assert lane.queued == 1
    gate.set()
    assert await asyncio.gather(*hanging) == [True] * 2


async def test_the_loop_is_woken_less_often_than_it_has_answers(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = ThreadLane(pipeline, LaneLimits(concurrency=2, queue=500))
    loop, woken = asyncio.get_running_loop(), list[int]()
    wake = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: (woken.append(1), wake(*args))[1])
    numbers = [lane.work(partial(int, number)) for number in range(500)]
    assert await asyncio.gather(*numbers) == list(range(500))
    assert lane.batches == {1: 500}
    assert 0 < len(woken) < 250
    assert await lane.work(partial(int, 1)) == 1  # and once all have been told, the next one wakes again


async def test_a_full_queue_is_503_at_once_and_says_when_to_come_back(
    pipeline: Pipeline, gate: threading.Event
) -> None:
    lane = ThreadLane(pipeline, LaneLimits(concurrency=1, queue=2))
    futures = [lane.work(gate.wait) for _ in range(3)]
    await until(lambda: lane.running == 1)
    assert lane.queued == 2
    with pytest.raises(
        Refusal, match="the queue of this model is full: 2 calls wait; try again in 1 s"
    ) as caught:
        lane.work(gate.wait)
    assert caught.value.status == 503
    assert caught.value.headers == (("retry-after", "1"),)
    assert lane.refused == 1
    gate.set()
    assert await asyncio.gather(*futures) == [True] * 3
    assert (lane.queued, lane.running) == (0, 0)
    assert await lane.work(lambda: 5) == 5


async def test_retry_after_follows_the_measured_time_of_a_job(
    pipeline: Pipeline, gate: threading.Event
) -> None:
    lane = ThreadLane(pipeline, LaneLimits(concurrency=2, queue=4))
    lane._service = 3.0
    for _ in range(6):
        lane.work(gate.wait)
    with pytest.raises(Refusal) as caught:
        lane.work(gate.wait)
    assert caught.value.headers == (("retry-after", "9"),)


async def test_the_time_of_jobs_is_measured(pipeline: Pipeline) -> None:
    lane = ThreadLane(pipeline, LaneLimits())
    await lane.work(lambda: time.sleep(0.02))
    assert lane._service >= 0.02


async def test_a_queue_of_none_still_runs_one_call(pipeline: Pipeline) -> None:
    lane = ThreadLane(pipeline, LaneLimits(queue=0))
    assert await lane.work(lambda: 1) == 1


async def test_a_call_that_waits_past_its_deadline_is_504_and_never_runs(
    pipeline: Pipeline, gate: threading.Event
) -> None:
    lane = ThreadLane(pipeline, LaneLimits())
    ran: list[int] = []
    first = lane.work(gate.wait)
    second = lane.work(lambda: ran.append(1), time.perf_counter() + 0.02)
    with pytest.raises(Refusal, match="the deadline of this call has passed") as caught:
        await second
    assert caught.value.status == 504
    assert lane.expired == 1
    gate.set()
    await first
    await lane.work(lambda: None)
    assert ran == []


async def test_a_deadline_that_has_passed_already_is_504_without_running(pipeline: Pipeline) -> None:
    lane = ThreadLane(pipeline, LaneLimits())
    ran: list[int] = []
    with pytest.raises(Refusal) as caught:
        await lane.work(lambda: ran.append(1), time.perf_counter() - 1)
    assert caught.value.status == 504
    assert (ran, lane.expired) == ([], 1)


async def test_a_call_that_runs_past_its_deadline_is_504_while_its_worker_goes_on(
    pipeline: Pipeline, gate: threading.Event
) -> None:
    lane = ThreadLane(pipeline, LaneLimits())
    done: list[bool] = []
    late = lane.work(lambda: done.append(gate.wait()), time.perf_counter() + 0.02)
    with pytest.raises(Refusal) as caught:
        await late
    assert caught.value.status == 504
    assert lane.running == 1
    assert lane.healthy, "a short deadline of a caller says nothing about the worker"
    gate.set()
    await until(lambda: lane.running == 0)
    assert done == [True]


async def test_a_caller_cannot_ask_for_more_time_than_the_lane_gives(
    pipeline: Pipeline, gate: threading.Event
) -> None:
    lane = ThreadLane(pipeline, LaneLimits(deadline_seconds=0.02))
    with pytest.raises(Refusal) as caught:
        await lane.work(gate.wait, time.perf_counter() + 60)
    assert caught.value.status == 504


async def test_a_caller_who_has_left_is_skipped(pipeline: Pipeline, gate: threading.Event) -> None:
    lane = ThreadLane(pipeline, LaneLimits())
    ran: list[int] = []
    first = lane.work(gate.wait)
    second = lane.work(lambda: ran.append(2))
    second.cancel()
    gate.set()
    await first
    await lane.work(lambda: ran.append(3))
    assert ran == [3]
    assert lane.expired == 0


async def test_callers_who_have_left_give_their_places_back_at_once(
    pipeline: Pipeline, gate: threading.Event
) -> None:
    lane = ThreadLane(pipeline, LaneLimits(concurrency=1, queue=2))
    ran: list[int] = []
    first = lane.work(gate.wait)
    await until(lambda: lane.running == 1)
    for _ in range(50):
        leaving = [lane.work(lambda: ran.append(1)) for _ in range(2)]
        assert lane.queued == 2
        for future in leaving:
            future.cancel()
        await asyncio.sleep(0)
        assert lane.queued == 0
    stays = lane.work(lambda: ran.append(2))
    gate.set()
    await asyncio.gather(first, stays)
    assert (ran, lane.refused, lane.queued) == ([2], 0, 0)


async def test_late_callers_give_their_places_and_their_arrays_back(
    pipeline: Pipeline, gate: threading.Event
) -> None:
    lane = ThreadLane(pipeline, LaneLimits(concurrency=1, queue=2))
    first = lane.work(gate.wait)
    await until(lambda: lane.running == 1)
    held = Payload()
    gone = weakref.ref(held)
    late = [lane.work(partial(id, held), time.perf_counter() + 0.01) for _ in range(2)]
    del held
    outcomes = await asyncio.gather(*late, return_exceptions=True)
    assert [getattr(outcome, "status", None) for outcome in outcomes] == [504, 504]
    assert lane.queued == 0
    del late, outcomes
    assert gone() is None, "whoever has heard 504 holds no memory"
    lane._service = 3.0
    waiting = [lane.work(lambda: 1) for _ in range(2)]
    with pytest.raises(Refusal, match="2 calls wait; try again in 9 s"):
        lane.work(lambda: 1)
    gate.set()
    assert await asyncio.gather(first, *waiting) == [True, 1, 1]


async def test_a_large_call_that_is_late_once_it_is_decoded_is_504_without_a_run(slow: Served) -> None:
    asked = call(slow, {"x": [1]}, seconds=5)
    asked.deadline = time.perf_counter()
    begin = time.perf_counter()
    with pytest.raises(Refusal) as caught:
        await slow.lane.work(lambda: slow.run_now(asked))
    assert caught.value.status == 504
    assert time.perf_counter() - begin < 2
    assert slow.lane.expired == 1


async def test_an_error_that_cannot_be_told_is_still_an_answer(pipeline: Pipeline) -> None:
    class Mute(BaseException):
        def __str__(self) -> str:
            raise ValueError

    def fail() -> None:
        raise Mute

    lane = ThreadLane(pipeline, LaneLimits())
    with pytest.raises(RuntimeError, match="Mute in a worker: no message"):
        await lane.work(fail)
    assert await lane.work(lambda: "alive") == "alive"


async def test_once_every_worker_hangs_the_lane_is_not_healthy_and_refuses_at_once(
    pipeline: Pipeline, gate: threading.Event
) -> None:
    lane = ThreadLane(pipeline, LaneLimits(concurrency=2, deadline_seconds=0.05))
    hanging = [lane.work(gate.wait)]
    await asyncio.gather(*hanging, return_exceptions=True)
    await asyncio.sleep(0.02)
    assert lane.healthy, "one of two workers is left"
    assert await lane.work(lambda: 7) == 7
    await asyncio.gather(lane.work(gate.wait), return_exceptions=True)
    await until(lambda: not lane.healthy)
    with pytest.raises(Refusal, match="every worker of this model hangs; try again in 1 s") as caught:
        lane.work(lambda: 8)
    assert caught.value.status == 503
    gate.set()
    await until(lambda: lane.healthy)
    assert await lane.work(lambda: 9) == 9


async def test_a_model_py_that_hangs_is_504_and_makes_its_release_not_ready(tmp_path: Path) -> None:
    served = loaded(tmp_path, slow_model(tmp_path), LaneLimits(deadline_seconds=0.05))
    with pytest.raises(Refusal) as caught:
        await later(served, call(served, {"x": [1]}, seconds=0.3))
    assert caught.value.status == 504
    await until(lambda: not served.ready)
    await until(lambda: served.ready)


async def test_two_workers_run_two_calls_at_once(pipeline: Pipeline) -> None:
    lane = ThreadLane(pipeline, LaneLimits(concurrency=2))
    meeting = threading.Barrier(2, timeout=5)
    assert sorted(await asyncio.gather(*(lane.work(meeting.wait) for _ in range(2)))) == [0, 1]


async def test_threads_start_with_the_first_job_and_end_when_the_lane_is_closed(pipeline: Pipeline) -> None:
    lane = ThreadLane(pipeline, LaneLimits(concurrency=2))
    assert lane._workers == []
    await lane.work(lambda: None)
    lane.close()
    await until(lambda: not any(worker.is_alive() for worker in lane._workers))
