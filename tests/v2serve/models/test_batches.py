"""Batches: each caller gets what it would get alone, nobody waits for company, one failure is one caller's."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.v2serve.artifacts import identity, lookup
from tests.v2serve.models.examples import at_once, call, later, loaded, passing, text_model, wide, write_graph
from v2serve.batch_lane import BatchLane
from v2serve.batches import run_together
from v2serve.call import Call
from v2serve.lanes import LaneLimits
from v2serve.pipeline import Pipeline
from v2serve.protocol import Refusal
from v2serve.released import Served
from v2serve.tensors import Array

_WIDTH = 16


@pytest.fixture(scope="module")
def perceptron(tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tmp_path_factory.mktemp("wide")
    return loaded(folder, write_graph(folder, wide(_WIDTH)), LaneLimits(max_batch=8))


@pytest.fixture
def fresh(tmp_path: Path) -> Served:
    return loaded(tmp_path, write_graph(tmp_path, wide(_WIDTH)), LaneLimits(max_batch=8))


class Counting:
    """A pipeline that remembers how many rows each run of the graph had, and may wait within."""

    def __init__(self, pipeline: Pipeline, gate: threading.Event | None = None) -> None:
        self.rows: list[int] = []
        self.names: list[list[str]] = []
        self._infer = pipeline._infer
        self._gate = gate

    def __call__(self, names: list[str], feeds: dict[str, Array], /) -> Sequence[Array]:
        self.rows.append(len(next(iter(feeds.values()))))
        self.names.append(names)
        if self._gate is not None:
            self._gate.wait(5)
        return self._infer(names, feeds)


def pipeline_of(served: Served) -> Pipeline:
    assert isinstance(served.lane, BatchLane)
    return served.lane._pipeline


def counted(served: Served, gate: threading.Event | None = None) -> Counting:
    pipeline = pipeline_of(served)
    if isinstance(pipeline._infer, Counting):
        pipeline._infer = pipeline._infer._infer
    counting = Counting(pipeline, gate)
    pipeline._infer = counting  # type: ignore[assignment]
    return counting


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def rows_call(served: Served, rows: int, seed: int, *wanted: str) -> Call:
    values = np.random.default_rng(seed).normal(size=(rows, _WIDTH))
    return call(served, {"x": values}, *wanted)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from([(), ("y",), ("total",), ("total", "y")])),
        min_size=1,
        max_size=12,
    )
)
def test_each_call_gets_what_it_gets_alone(
    perceptron: Served, asked: list[tuple[int, tuple[str, ...]]]
) -> None:
    calls = [rows_call(perceptron, rows, seed, *wanted) for seed, (rows, wanted) in enumerate(asked)]
    pipeline = pipeline_of(perceptron)
    for one, together in zip(calls, run_together(pipeline, calls, 8), strict=True):
        alone = pipeline.run(one)
        assert len(together) == len(alone)
        for got, expected in zip(together, alone, strict=True):
            assert got.dtype == expected.dtype
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["good", "bad", "the bad", "x"]), min_size=1, max_size=4), min_size=1)
)
def test_texts_in_a_batch_are_labelled_as_alone(
    tmp_path_factory: pytest.TempPathFactory, texts: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("text")
    served = loaded(folder, text_model(folder), LaneLimits(max_batch=8))
    calls = [call(served, {"text": [text.encode() for text in several]}) for several in texts]
    pipeline = pipeline_of(served)
    for one, together in zip(calls, run_together(pipeline, calls, 8), strict=True):
        assert together[0].tolist() == pipeline.run(one)[0].tolist()


@pytest.mark.parametrize(
    ("rows", "runs"),
    [
        ([1, 1, 1], [3]),
        ([4, 4, 1], [8, 1]),
        ([9, 1], [9, 1]),
        ([3, 3, 3], [6, 3]),
        ([0, 1, 1], [0, 2]),
    ],
)
def test_a_run_holds_no_more_rows_than_the_largest_batch(
    perceptron: Served, rows: list[int], runs: list[int]
) -> None:
    counting = counted(perceptron)
    run_together(pipeline_of(perceptron), [rows_call(perceptron, n, n) for n in rows], 8)
    assert counting.rows == runs


def test_a_batch_runs_the_union_of_what_its_calls_want(perceptron: Served) -> None:
    counting = counted(perceptron)
    calls = [rows_call(perceptron, 1, 1, "total"), rows_call(perceptron, 1, 2, "y")]
    outcomes = run_together(pipeline_of(perceptron), calls, 8)
    assert counting.names == [["total", "y"]]
    assert [[array.shape for array in arrays] for arrays in outcomes] == [[(1,)], [(1, _WIDTH)]]


def test_one_bad_input_does_not_fail_its_neighbours(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, lookup()), LaneLimits(max_batch=8))
    calls = [call(served, {"x": [number]}) for number in (1, 9, 2)]
    good, bad, other = run_together(pipeline_of(served), calls, 8)
    assert (good[0].tolist(), other[0].tolist()) == ([1], [2])
    assert isinstance(bad, Refusal)
    assert bad.status == 400


def test_one_bad_preprocess_does_not_fail_its_neighbours(tmp_path: Path) -> None:
    served = loaded(tmp_path, text_model(tmp_path), LaneLimits(max_batch=8))
    calls = [call(served, {"text": [text]}) for text in (b"bad", b"", b"good")]
    bad, empty, good = run_together(pipeline_of(served), calls, 8)
    assert (bad[0].tolist(), good[0].tolist()) == ([b"reproach"], [b"praise"])
    assert isinstance(empty, Refusal)
    assert str(empty) == "input 'text': an empty text has no label"


def test_calls_of_different_shapes_do_not_share_a_run(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, identity("FP32", ("N", "M"))), LaneLimits(max_batch=8))
    counting = counted(served)
    calls = [call(served, {"x": np.full((1, width), width)}) for width in (2, 3, 2)]
    outcomes = run_together(pipeline_of(served), calls, 8)
    assert [arrays[0].tolist() for arrays in outcomes] == [[[2, 2]], [[3, 3, 3]], [[2, 2]]]
    assert counting.rows == [2, 1]


async def quiet() -> None:
    """Let the loop have turns without calls."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_lonely_call_of_a_fast_model_is_answered_without_a_future(fresh: Served) -> None:
    counting = counted(fresh)
    for number in range(1, 4):
        (total,) = at_once(fresh, rows_call(fresh, 1, 1, "total"))
        assert total.shape == (1,)
        assert counting.rows == [1] * number
        await quiet()


async def test_calls_of_one_turn_of_the_loop_share_a_run_after_its_first(fresh: Served) -> None:
    counting = counted(fresh)
    calls = [rows_call(fresh, 1, seed) for seed in range(12)]
    first = at_once(fresh, calls[0])
    answers = [first, *await asyncio.gather(*(later(fresh, one) for one in calls[1:]))]
    assert counting.rows == [1, 8, 3]
    for one, answer in zip(calls, answers, strict=True):
        np.testing.assert_allclose(answer[0], pipeline_of(fresh).run(one)[0], rtol=1e-5, atol=1e-5)
    assert fresh.lane.batches == {1: 1, 8: 1, 3: 1}


async def test_under_load_the_first_call_of_a_turn_shares_the_run_too(fresh: Served) -> None:
    at_once(fresh, rows_call(fresh, 1, 0))
    await later(fresh, rows_call(fresh, 1, 1))
    counting = counted(fresh)
    await asyncio.gather(*(later(fresh, rows_call(fresh, 1, seed)) for seed in range(3)))
    assert counting.rows == [3]


async def test_more_calls_in_a_turn_than_may_wait_are_503(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, wide(_WIDTH)), LaneLimits(queue=2, max_batch=4))
    at_once(served, rows_call(served, 1, 0))
    waiting = [later(served, rows_call(served, 1, seed)) for seed in range(6)]
    with pytest.raises(Refusal, match="the queue of this model is full: 2 calls wait") as caught:
        served.infer(rows_call(served, 1, 9))
    assert caught.value.status == 503
    assert served.lane.queued == 6
    await asyncio.gather(*waiting)


@pytest.fixture
def threaded(tmp_path: Path) -> BatchLane:
    served = loaded(tmp_path, write_graph(tmp_path, wide(_WIDTH)), LaneLimits(max_batch=8))
    return BatchLane(pipeline_of(served), LaneLimits(queue=4, max_batch=8, deadline_seconds=5), inline=False)


def ask(lane: BatchLane, asked: Call) -> "asyncio.Future[Sequence[Array]]":
    answer = lane.run(asked)
    assert isinstance(answer, asyncio.Future)
    return answer


def single(lane: BatchLane, seed: int = 0) -> Call:
    values = np.random.default_rng(seed).normal(size=(1, _WIDTH)).astype(np.float32)
    return Call({"x": values}, list(lane._pipeline.contract.outputs))


def watched(lane: BatchLane, gate: threading.Event) -> Counting:
    counting = Counting(lane._pipeline, gate)
    lane._pipeline._infer = counting  # type: ignore[assignment]
    return counting


async def until(condition: Any) -> None:
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen within two seconds")


async def test_a_lonely_call_of_a_slow_model_begins_without_waiting_for_others(
    threaded: BatchLane, gate: threading.Event
) -> None:
    counting = watched(threaded, gate)
    future = ask(threaded, single(threaded))
    await until(lambda: counting.rows == [1])
    gate.set()
    assert len(await future) == 2


async def test_what_comes_while_a_run_is_in_progress_shares_the_next(
    threaded: BatchLane, gate: threading.Event
) -> None:
    counting = watched(threaded, gate)
    futures = [ask(threaded, single(threaded))]
    await until(lambda: counting.rows == [1])
    futures += [ask(threaded, single(threaded, seed)) for seed in range(1, 5)]
    assert threaded.queued == 4
    gate.set()
    answers = await asyncio.gather(*futures)
    assert counting.rows == [1, 4]
    assert threaded.batches == {1: 1, 4: 1}
    assert len({answer[1].item() for answer in answers}) == 5
    assert threaded.queued == 0


async def test_a_full_queue_of_a_batching_lane_is_503(threaded: BatchLane, gate: threading.Event) -> None:
    counting = watched(threaded, gate)
    futures = [ask(threaded, single(threaded))]
    await until(lambda: counting.rows == [1])
    futures += [ask(threaded, single(threaded)) for _ in range(4)]
    with pytest.raises(Refusal, match="the queue of this model is full: 4 calls wait") as caught:
        ask(threaded, single(threaded))
    assert caught.value.status == 503
    assert caught.value.headers[0][0] == "retry-after"
    assert threaded.refused == 1
    gate.set()
    await asyncio.gather(*futures)


async def test_a_caller_who_has_left_takes_no_room_in_a_batch(
    threaded: BatchLane, gate: threading.Event
) -> None:
    counting = watched(threaded, gate)
    first = ask(threaded, single(threaded))
    await until(lambda: counting.rows == [1])
    left, stays = ask(threaded, single(threaded, 1)), ask(threaded, single(threaded, 2))
    left.cancel()
    gate.set()
    await asyncio.gather(first, stays)
    assert counting.rows == [1, 1]


async def test_callers_of_a_batch_who_leave_or_are_late_give_their_places_back(
    threaded: BatchLane, gate: threading.Event
) -> None:
    counting = watched(threaded, gate)
    first = ask(threaded, single(threaded))
    await until(lambda: counting.rows == [1])
    for _ in range(20):
        for future in [ask(threaded, single(threaded)) for _ in range(4)]:
            future.cancel()
        await asyncio.sleep(0)
        assert threaded.queued == 0
    tardy = [single(threaded, seed) for seed in range(4)]
    for one in tardy:
        one.deadline = time.perf_counter() + 0.01
    outcomes = await asyncio.gather(*(ask(threaded, one) for one in tardy), return_exceptions=True)
    assert {getattr(outcome, "status", None) for outcome in outcomes} == {504}
    assert threaded.queued == 0
    stays = ask(threaded, single(threaded, 9))
    gate.set()
    await asyncio.gather(first, stays)
    assert counting.rows == [1, 1]
    assert threaded.refused == 0


async def test_a_late_call_is_504_and_is_not_run(threaded: BatchLane, gate: threading.Event) -> None:
    counting = watched(threaded, gate)
    first = ask(threaded, single(threaded))
    await until(lambda: counting.rows == [1])
    late = single(threaded, 1)
    late.deadline = time.perf_counter() + 0.02
    with pytest.raises(Refusal, match="the deadline of this call has passed") as caught:
        await ask(threaded, late)
    assert caught.value.status == 504
    assert threaded.expired == 1
    gate.set()
    await first
    await ask(threaded, single(threaded, 2))
    assert counting.rows == [1, 1]


async def test_a_late_call_of_an_inline_batch_is_504(fresh: Served) -> None:
    tardy = rows_call(fresh, 1, 1)
    tardy.deadline = time.perf_counter() - 1
    with pytest.raises(Refusal) as lonely:
        fresh.infer(tardy)
    with pytest.raises(Refusal) as gathered:
        await later(fresh, tardy)
    assert (lonely.value.status, gathered.value.status) == (504, 504)
    assert fresh.lane.expired == 2


async def test_a_graph_that_hangs_makes_the_lane_refuse_until_it_is_back(
    tmp_path: Path, gate: threading.Event
) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, wide(_WIDTH)), LaneLimits(max_batch=8))
    lane = BatchLane(pipeline_of(served), LaneLimits(max_batch=8, deadline_seconds=0.05), inline=False)
    watched(lane, gate)
    first = ask(lane, single(lane))
    await asyncio.sleep(0.02)
    second = ask(lane, single(lane))
    answers = await asyncio.gather(first, second, return_exceptions=True)
    assert [getattr(answer, "status", None) for answer in answers] in ([504, 504], [504, 503])
    assert not lane.healthy
    with pytest.raises(Refusal, match="every worker of this model hangs"):
        ask(lane, single(lane))
    gate.set()
    await until(lambda: lane.healthy)
    assert len(await ask(lane, single(lane))) == 2


async def test_a_large_call_does_not_starve_behind_small_ones(
    threaded: BatchLane, gate: threading.Event
) -> None:
    counting = watched(threaded, gate)
    futures = [ask(threaded, single(threaded))]
    await until(lambda: counting.rows == [1])
    large = single(threaded)
    large.feeds["x"] = np.zeros((8, _WIDTH), np.float32)
    futures += [ask(threaded, single(threaded)), ask(threaded, large), ask(threaded, single(threaded))]
    gate.set()
    await asyncio.gather(*futures)
    assert counting.rows == [1, 2, 8]


async def test_a_model_with_code_batches_in_a_thread(tmp_path: Path) -> None:
    code = "def preprocess(inputs, parameters):\n    return inputs\n"
    served = loaded(tmp_path, passing(tmp_path, code), LaneLimits(max_batch=8))
    assert isinstance(served.lane, BatchLane)
    answers = await asyncio.gather(*(later(served, call(served, {"x": [n]})) for n in range(3)))
    assert [answer[0].tolist() for answer in answers] == [[0], [1], [2]]
