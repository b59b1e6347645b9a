"""What `convert` makes, and asking it; without PyTorch, which the stage of the artifact does not need."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
from images import Images
from numpy.typing import NDArray

from trainkit.documents import read_json
from trainkit.errors import TrainError
from trainkit.limits import AboveZero, Between, Share, Tolerance
from trainkit.release import Parity

GRAPH, REPORT = Path("work/model.onnx"), Path("work/conversion.json")
AGAIN = "dvc repro -f -s convert"
BATCH = 500  # images at once, so that memory stays small
PARITY = {"largest_difference": float, "tolerance": float, "rows": int}


@dataclass(frozen=True)
class Export:
    """Section `export` of params.yaml, which says what it is that is served."""

    tolerance: Tolerance
    largest_megabytes: Annotated[float, AboveZero(10_000)]
    quantize: bool
    quantize_loss: Share
    calibration_images: Annotated[int, Between(1, 50_000)]
    golden_rows: Annotated[int, Between(1, 64)]  # files of one request
    golden_tolerance: Tolerance


@dataclass(frozen=True)
class Conversion:
    """The graph, its parity with PyTorch, and how int8 compares with float32."""

    graph: bytes
    parity: Parity
    int8: dict[str, Any]


def read_conversion() -> Conversion:
    """TrainError, with the command that makes it anew, for what is missing or broken."""
    report = read_json(REPORT, AGAIN)
    parity = report.get("parity") if isinstance(report, dict) else None
    if not isinstance(parity, dict) or {name: type(value) for name, value in parity.items()} != PARITY:
        raise TrainError(f"{REPORT} has no parity of {', '.join(PARITY)}: {AGAIN}")
    if not isinstance(report.get("int8"), dict):
        raise TrainError(f"{REPORT} does not say how int8 compares: {AGAIN}")
    return Conversion(_read_graph(), Parity(**parity), report["int8"])


def as_input(images: Images) -> NDArray[np.float32]:
    return np.ascontiguousarray(images.pixels.transpose(0, 3, 1, 2), np.float32) / np.float32(255)


def answered(content: bytes, images: Images, batch: int = BATCH) -> NDArray[np.float32]:
    """`probabilities` of all images, by ONNX Runtime in one thread."""
    session = _session(content)
    steps = [slice(start, start + batch) for start in range(0, len(images), batch)]
    found = [session.run(["probabilities"], {"image": as_input(images.take(rows))})[0] for rows in steps]
    return np.concatenate(found)


def _read_graph() -> bytes:
    try:
        content = GRAPH.read_bytes()
        _session(content)
    except FileNotFoundError:
        raise TrainError(f"{GRAPH} is missing: {AGAIN}") from None
    except Exception as error:  # ONNX Runtime has a type for each way of being broken
        raise TrainError(f"{GRAPH} is no graph ({str(error).splitlines()[0][:100]}): {AGAIN}") from None
    return content


def _session(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
