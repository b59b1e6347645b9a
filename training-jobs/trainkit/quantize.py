"""An int8 variant of a graph: measured beside the full one, served only if a job asks for it and it loses little."""

import math
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import onnx
from numpy.typing import NDArray

from trainkit.documents import rounded, write_json
from trainkit.errors import TrainError
from trainkit.graph import normalized, run, session

REPORT = Path("work/quantization.json")
ROUNDS = 5
PATIENCE = 5.0  # seconds after which a graph has been timed often enough

Feeds = Mapping[str, NDArray[Any]]


class QuantizeLimits(Protocol):
    """Of section `export`: whether the int8 variant is wanted, and how much of the metric it may lose."""

    @property
    def quantize(self) -> bool: ...
    @property
    def quantize_loss(self) -> float: ...


@dataclass(frozen=True)
class Metric:
    """`score` judges a graph on the test rows."""

    name: str
    score: Callable[[bytes], float]
    higher_is_better: bool = True


@dataclass(frozen=True)
class Choice:
    """What is released; `evidence` has no clock in it and goes into evidence.json, `line` has."""

    graph: bytes
    evidence: dict[str, Any]
    line: str


def quantized(graph: bytes) -> bytes:
    """Weights of matrix products as int8, activations quantized as they come; same graph, same bytes."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]

    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "int8.onnx"
        quantize_dynamic(_preprocessed(graph), small, weight_type=QuantType.QInt8)
        return bytes(normalized(onnx.load(small)).SerializeToString(deterministic=True))


def calibrated(graph: bytes, calls: Sequence[Feeds], floats: Collection[str]) -> bytes:
    """Activations as uint8, with the ranges that they have in `calls`; weights with a scale for each channel.

    A row's answer does not depend on the other rows of its request. Weights have 7 bits: sums of their products fit
    the 16 bits that processors without VNNI add up in, so that all processors have the same integers. `floats` are
    nodes that stay as they are. Same graph and calls, same bytes.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Calls(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(calls)

        def get_next(self) -> Feeds | None:
            return next(self._left, None)

    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "int8.onnx"
        quantize_static(
            _preprocessed(graph),
            small,
            Calls(),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            nodes_to_exclude=list(floats),
        )
        return bytes(normalized(onnx.load(small)).SerializeToString(deterministic=True))


def _preprocessed(graph: bytes) -> onnx.ModelProto:
    """Said to be preprocessed already, which fuses nothing here: without it, every run is advised to do it."""
    full = onnx.load_from_string(graph)
    onnx.helper.set_model_props(full, {"onnx.quant.pre_process": "onnxruntime.quant"})
    return full


def choose(
    full: bytes, small: bytes, metric: Metric, feeds: Sequence[Feeds], limits: QuantizeLimits
) -> Choice:
    """Measure both on the test rows and take one; TrainError if int8 is wanted and loses more than it may.

    `feeds` are calls to time, as a server would make them. Times go to work/quantization.json, not into the artifact,
    whose bytes must be the same in every run.
    """
    scores = {"full": metric.score(full), "int8": metric.score(small)}
    loss = (scores["full"] - scores["int8"]) * (1 if metric.higher_is_better else -1)
    if not math.isfinite(loss):
        raise TrainError(f"{metric.name} is no number: full {scores['full']}, int8 {scores['int8']}")
    evidence = {
        "metric": metric.name,
        **{name: rounded(value) for name, value in scores.items()},
        "full_bytes": len(full),
        "int8_bytes": len(small),
        "loss": rounded(loss),
        "loss_allowed": limits.quantize_loss,
        "served": "int8" if limits.quantize else "full",
    }
    times = {"full": milliseconds(full, feeds), "int8": milliseconds(small, feeds)}
    write_json(
        REPORT, {**evidence, "milliseconds": {name: rounded(value, 4) for name, value in times.items()}}
    )
    line = ", ".join(
        f"{name} {metric.name} {scores[name]:.4f} in {times[name]:.3g} ms and {size / 1e6:.2f} MB"
        for name, size in (("full", len(full)), ("int8", len(small)))
    )
    if limits.quantize and loss > limits.quantize_loss:
        raise TrainError(
            f"int8 loses {loss:.4f} of {metric.name}, export.quantize_loss allows {limits.quantize_loss:g} ({line}): "
            "set export.quantize to false, or allow the loss"
        )
    return Choice(small if limits.quantize else full, evidence, line)


def milliseconds(graph: bytes, feeds: Sequence[Feeds]) -> float:
    """The median of a call, one thread, after a first round that does not count."""
    opened, times, stop = session(graph), list[float](), time.perf_counter() + PATIENCE
    for number in range(ROUNDS + 1):
        for given in feeds:
            begin = time.perf_counter()
            run(opened, given)
            end = time.perf_counter()
            if number or end > stop:
                times.append(1e3 * (end - begin))
        if end > stop:
            break
    return median(times)
