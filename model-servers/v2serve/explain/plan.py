"""`explain.json` of an artifact: which answer is explained, by hiding what of which input."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from v2serve.artifact import ArtifactError
from v2serve.contract import Contract, TensorSpec

PLAN = "explain.json"
MOST_FEATURES = 12  # 2^12 coalitions
MOST_ASKED = 1 << 16  # rows that the model is asked about for one request

Kind = Literal["shapley", "occlusion", "words"]
_NUMBERS = ("FP32", "FP64")


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`background`: rows of training data; `grid`: cells of an image's side; `words`: the most that are weighed."""

    kind: Kind
    inputs: tuple[str, ...]
    output: str
    background: tuple[tuple[float, ...], ...] = ()
    grid: int = 8
    words: int = 64


def load_plan(folder: Path, contract: Contract) -> Plan | None:
    """None where the artifact explains nothing; ArtifactError if the plan does not fit the contract."""
    path = folder / PLAN
    if not path.exists():
        return None
    try:
        plan = msgspec.json.decode(path.read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{PLAN}: {error}") from None
    inputs = [_found(contract.inputs, name, "input") for name in plan.inputs]
    if not inputs:
        raise ArtifactError(f"{PLAN}: inputs is empty; name the input that is explained")
    output = _found(contract.outputs, plan.output, "output")
    if output.datatype not in _NUMBERS or len(output.shape) not in (1, 2) or output.shape[0] != -1:
        raise ArtifactError(
            f"{PLAN}: output {output.name} is {output.datatype} {list(output.shape)};"
            " explained are FP32 or FP64 of [-1] or [-1, classes]"
        )
    _CHECKS[plan.kind](plan, inputs)
    return plan


def _found(tensors: Sequence[TensorSpec], name: str, kind: str) -> TensorSpec:
    for tensor in tensors:
        if tensor.name == name:
            return tensor
    known = ", ".join(tensor.name for tensor in tensors)
    raise ArtifactError(f"{PLAN}: {kind} {name!r} is not in contract.json, which has {known}")


def _check_shapley(plan: Plan, inputs: Sequence[TensorSpec]) -> None:
    tensor = inputs[0]
    if len(inputs) > 1 or tensor.datatype not in _NUMBERS or len(tensor.shape) != 2:
        raise ArtifactError(f"{PLAN}: shapley explains one input of FP32 or FP64 [-1, features]")
    features = tensor.shape[1]
    if not 1 <= features <= MOST_FEATURES:
        raise ArtifactError(
            f"{PLAN}: {tensor.name} has {features} features; shapley takes 1 to {MOST_FEATURES}"
        )
    if not plan.background or any(len(row) != features for row in plan.background):
        raise ArtifactError(f"{PLAN}: background needs rows of {features} values, one or more")
    if not np.all(np.isfinite(np.array(plan.background))):
        raise ArtifactError(f"{PLAN}: background has a value that is not finite")
    if (rows := len(plan.background) << features) > MOST_ASKED:
        raise ArtifactError(
            f"{PLAN}: {len(plan.background)} background rows make {rows} questions a row; at most {MOST_ASKED}"
        )


def _check_occlusion(plan: Plan, inputs: Sequence[TensorSpec]) -> None:
    for tensor in inputs:
        picture = tensor.datatype == "FP32" and len(tensor.shape) == 4
        if not picture and not (tensor.datatype == "BYTES" and tensor.shape == (-1,)):
            raise ArtifactError(
                f"{PLAN}: occlusion hides parts of BYTES [-1] or FP32 [-1, channels, height, width];"
                f" {tensor.name} is {tensor.datatype} {list(tensor.shape)}"
            )
    if not 2 <= plan.grid <= 32:
        raise ArtifactError(f"{PLAN}: grid is {plan.grid}; write 2 to 32 cells a side")


def _check_words(plan: Plan, inputs: Sequence[TensorSpec]) -> None:
    for tensor in inputs:
        if tensor.datatype != "BYTES" or tensor.shape != (-1,):
            raise ArtifactError(f"{PLAN}: words are of BYTES [-1]; {tensor.name} is {tensor.datatype}")
    if not 1 <= plan.words <= 512:
        raise ArtifactError(f"{PLAN}: words is {plan.words}; write 1 to 512")


_CHECKS = {"shapley": _check_shapley, "occlusion": _check_occlusion, "words": _check_words}
