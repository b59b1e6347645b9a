"""What holds up the event loop is known beforehand: by rows, widths and texts, not by the bytes of a body."""

import asyncio
import math
import time
from asyncio import Future
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from onnx.numpy_helper import from_array

from tests.v2serve.artifacts import Served as Graph
from tests.v2serve.artifacts import Tensor, identity, iris
from tests.v2serve.models.examples import asked, at_once, call, later, loaded, wide, write_graph
from v2serve.batch_lane import BatchLane
from v2serve.call import Call
from v2serve.contract import Contract, TensorSpec
from v2serve.lanes import InlineLane, LaneLimits
from v2serve.pace import INLINE_SECONDS, Pace, measured
from v2serve.pipeline import Pipeline
from v2serve.protocol import Refusal
from v2serve.released import Served
from v2serve.tensors import Array


def contract(*inputs: TensorSpec) -> Contract:
    return Contract("m", "onnxruntime_onnx", inputs, (TensorSpec("y", "FP32", (-1,)),))


def rows(count: int, width: int = 4) -> dict[str, Array]:
    return {"x": np.zeros((count, width), np.float32)}


def heavy(width: int = 512) -> Graph:
    """One value a row and much work for it: a small body is long in the model."""
    sizes = [(1, width), (width, width), (width, width), (width, width), (width, 1)]
    names = ["x", "h0", "h1", "h2", "h3", "y"]
    nodes = tuple(
        helper.make_node("MatMul", [names[place], f"W{place}"], [names[place + 1]]) for place in range(5)
    )
    weights = tuple(
        from_array(np.full(size, 0.001, np.float32), f"W{place}") for place, size in enumerate(sizes)
    )
    golden = (asked("x", "FP32", [1, 1], [1.0]),)
    return Graph(nodes, (Tensor("x", "FP32", ("N", 1)),), (Tensor("y", "FP32", ("N", 1)),), golden, weights)


def pipeline_of(served: Served) -> Pipeline:
    assert isinstance(served.lane, InlineLane | BatchLane)
    return served.lane._pipeline


def paced(served: Served, quick: float, most: float) -> Pace:
    pace = Pace(served.contract)
    pace.quick, pace.most = quick, most
    return pace


def test_the_work_of_plain_rows_is_their_values() -> None:
    pace = Pace(contract(TensorSpec("x", "FP32", (-1, 4))), rows(1))
    assert pace.work(rows(3)) == 12
    assert pace.work(rows(0)) == 0


def test_rows_wider_than_the_golden_ones_count_with_the_square() -> None:
    pace = Pace(contract(TensorSpec("x", "FP32", (-1, -1))), rows(2, 8))
    assert pace.work(rows(3, 8)) == 24
    assert pace.work(rows(100, 4)) == 400, "narrower is no more than its values"
    assert pace.work(rows(3, 80)) == 2400


def test_where_the_first_size_is_no_number_of_rows_all_of_it_is_width() -> None:
    pace = Pace(contract(TensorSpec("x", "FP32", (1, -1))), rows(1, 8))
    assert pace.work(rows(1, 80)) == 800


def test_inputs_of_different_first_sizes_have_no_rows() -> None:
    inputs = (TensorSpec("a", "FP32", (-1, -1)), TensorSpec("b", "FP32", (-1, -1)))
    golden = {"a": np.zeros((1, 2)), "b": np.zeros((1, 2))}
    pace = Pace(contract(*inputs), golden)
    assert pace.work({"a": np.zeros((10, 2)), "b": np.zeros((10, 2))}) == 40
    assert pace.work({"a": np.zeros((10, 2)), "b": np.zeros((5, 4))}) == 40 * 10


def test_texts_count_with_their_bytes() -> None:
    pace = Pace(contract(TensorSpec("x", "BYTES", (-1,))), {"x": np.array([b"four"], object)})
    assert pace.work({"x": np.array([b"four"] * 10, object)}) == 50
    assert pace.work({"x": np.array([b"x" * 49], object)}) == 50 * 10


def test_without_a_measurement_every_call_is_quick() -> None:
    pace = Pace(contract(TensorSpec("x", "FP32", (-1, -1))))
    assert pace.work(rows(9, 9)) <= pace.quick


def test_a_small_model_is_measured_to_be_quick_with_many_rows(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, iris()))
    pace = measured(pipeline_of(served), [call(served, {"features": [[5.1, 3.5, 1.4, 0.2]]})])
    assert 64 <= pace.quick <= pace.most


def test_a_heavy_model_is_measured_by_more_rows_than_its_golden_request(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, heavy()))
    pace = measured(pipeline_of(served), [call(served, {"x": [[1.0]]})])
    assert pace.most < 2000
    longest = int(pace.most)
    begin = time.perf_counter()
    pipeline_of(served).run(call(served, {"x": [[1.0]] * longest}))
    assert time.perf_counter() - begin < 20 * INLINE_SECONDS


def test_a_model_of_fixed_sizes_is_measured_in_proportion(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, identity("FP32", (2, 3))))
    pace = measured(pipeline_of(served), [call(served, {"x": np.zeros((2, 3))})])
    assert 6 < pace.quick < pace.most < math.inf


def test_a_graph_that_takes_no_more_rows_has_the_pace_of_those_it_took(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, identity("FP32", ("N", 2))))
    pipeline = pipeline_of(served)
    run = pipeline._infer

    def as_exported(outputs: list[str], feeds: dict[str, Array]) -> Sequence[Array]:
        if len(feeds["x"]) != 2:
            raise Refusal(500, "the model failed")
        return run(outputs, feeds)

    pipeline._infer = as_exported
    pace = measured(pipeline, [call(served, {"x": np.zeros((2, 2))})])
    assert pace.quick == pace.most == 4


async def test_a_small_body_with_many_rows_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, heavy()))
    assert isinstance(served.lane, InlineLane)
    begin = time.perf_counter()
    answer = later(served, call(served, {"x": [[1.0]] * 6000}))
    assert time.perf_counter() - begin < 0.05
    turns = 0
    while not answer.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 5
    assert (await answer)[0].shape == (6000, 1)


async def test_a_long_call_of_an_inline_model_is_504_at_its_deadline(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, heavy()), LaneLimits(deadline_seconds=0.03))
    with pytest.raises(Refusal) as caught:
        await later(served, call(served, {"x": [[1.0]] * 6000}))
    assert caught.value.status == 504
    assert served.lane.expired == 1


class Slowly:
    """A graph that takes its time."""

    def __init__(self, pipeline: Pipeline, seconds: float) -> None:
        self._infer = pipeline._infer
        self._seconds = seconds

    def __call__(self, names: list[str], feeds: dict[str, Array], /) -> Sequence[Array]:
        time.sleep(self._seconds)
        return self._infer(names, feeds)


@pytest.fixture
def tardy(tmp_path: Path) -> Served:
    served = loaded(tmp_path, write_graph(tmp_path, identity("FP32")))
    pipeline = pipeline_of(served)
    pipeline._infer = Slowly(pipeline, 0.02)  # type: ignore[assignment]
    return served


def of(served: Served, count: int) -> Call:
    return call(served, {"x": np.zeros(count)})


def test_an_inline_run_that_ends_after_its_deadline_is_504(tardy: Served) -> None:
    asked_late = of(tardy, 1)
    asked_late.deadline = time.perf_counter() + 0.01
    with pytest.raises(Refusal, match="the deadline of this call has passed") as caught:
        tardy.infer(asked_late)
    assert caught.value.status == 504
    assert tardy.lane.expired == 1


def test_an_inline_run_has_no_more_time_than_the_lane_gives(tardy: Served) -> None:
    lane = InlineLane(pipeline_of(tardy), LaneLimits(deadline_seconds=0.01))
    with pytest.raises(Refusal) as caught:
        lane.run(of(tardy, 1))
    assert caught.value.status == 504


async def test_a_turn_of_the_loop_has_time_for_few_long_calls(tardy: Served) -> None:
    lane = InlineLane(pipeline_of(tardy), LaneLimits(), paced(tardy, 1, 10))
    first, second = lane.run(of(tardy, 5)), lane.run(of(tardy, 5))
    assert isinstance(first, list)
    assert isinstance(second, Future), "the first has spent this turn"
    assert isinstance(lane.run(of(tardy, 1)), list), "quick calls are not counted"
    await second
    assert isinstance(lane.run(of(tardy, 5)), list), "another turn"


async def test_a_call_above_the_pace_goes_to_the_threads_of_an_inline_batch_lane(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, wide(16)), LaneLimits(max_batch=8))
    lane = BatchLane(
        pipeline_of(served), LaneLimits(max_batch=8), inline=True, pace=paced(served, 16, 16 * 8)
    )
    answer = lane.run(call(served, {"x": np.zeros((9, 16))}))
    assert isinstance(answer, Future)
    assert len((await answer)[0]) == 9
    assert isinstance(lane.run(call(served, {"x": np.zeros((8, 16))})), list)


async def test_wide_calls_fill_an_inline_batch_by_their_work(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, identity("FP32", ("N", "M"))), LaneLimits(max_batch=8))
    lane = BatchLane(pipeline_of(served), LaneLimits(max_batch=8), inline=True, pace=paced(served, 4, 64))
    lane.run(call(served, {"x": np.zeros((1, 32))}))
    await asyncio.gather(*(lane.run(call(served, {"x": np.zeros((1, 32))})) for _ in range(3)))  # type: ignore[arg-type]
    assert lane.batches == {1: 2, 2: 1}, "32 of 64 values each: two share a run"


async def test_an_inline_batch_that_ends_after_a_deadline_is_504_for_that_call(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, wide(16)), LaneLimits(max_batch=8))
    pipeline = pipeline_of(served)
    pipeline._infer = Slowly(pipeline, 0.05)  # type: ignore[assignment]
    at_once(served, call(served, {"x": np.zeros((1, 16))}))
    short, long = (call(served, {"x": np.zeros((1, 16))}) for _ in range(2))
    short.deadline = time.perf_counter() + 0.03
    outcomes = await asyncio.gather(later(served, short), later(served, long), return_exceptions=True)
    assert [getattr(outcome, "status", None) for outcome in outcomes] == [504, None]
    assert served.lane.expired == 1
