"""Several calls as one run of the graph: each gets the rows it would get alone, and only its own failure."""

import math
import time
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from v2serve.artifact import ArtifactError
from v2serve.call import Call
from v2serve.contract import Contract
from v2serve.pipeline import Pipeline
from v2serve.tensors import Array

# Larger matrices are summed in another order.
_RELATIVE, _ABSOLUTE = 1e-3, 1e-4
_ROUNDS = 3  # the first one allocates

Outcome = Any  # what a future is told: arrays, or the exception


class _Part(NamedTuple):
    """One call on its way: its place among the calls, and what the graph takes for it."""

    place: int
    call: Call
    feeds: dict[str, Array]
    rows: int | None  # None: cannot share a run


def check_batchable(contract: Contract) -> None:
    """Raise ArtifactError unless every tensor has rows that a request chooses the number of."""
    for tensor in (*contract.inputs, *contract.outputs):
        if tensor.shape[:1] != (-1,):
            raise ArtifactError(
                f"contract.json: {tensor.name}: shape {list(tensor.shape)} does not begin with -1,"
                " so requests cannot be batched; set the largest batch to 1 or export a free first size"
            )


def rows_of(feeds: dict[str, Array]) -> int | None:
    """How many rows all of these arrays have; None if they differ or there are none."""
    sizes = {array.shape[0] if array.ndim else 0 for array in feeds.values()}
    return sizes.pop() or None if len(sizes) == 1 else None


def run_together(pipeline: Pipeline, calls: Sequence[Call], max_rows: int) -> list[Outcome]:
    """What each call is answered, or why not, in the order of the calls."""
    outcomes: list[Outcome] = [None] * len(calls)
    groups: dict[Hashable, list[_Part]] = {}
    for place, call in enumerate(calls):
        try:
            feeds = pipeline.feeds(call)
        except Exception as error:
            outcomes[place] = error
            continue
        rows = rows_of(feeds)
        kind = place if rows is None else kind_of(feeds) if pipeline.varied else None
        groups.setdefault(kind, []).append(_Part(place, call, feeds, rows))
    for group in groups.values():
        for parts in _fitting(group, max_rows):
            _run_parts(pipeline, parts, outcomes)
    return outcomes


def rehearse(pipeline: Pipeline, calls: Sequence[Call], max_rows: int) -> float:
    """Seconds of the fullest run that these calls make, repeated; ArtifactError if one gets other rows than alone."""
    parts = [
        _Part(place, call, feeds := pipeline.feeds(call), rows_of(feeds)) for place, call in enumerate(calls)
    ]
    same = [part for part in parts if part.rows and kind_of(part.feeds) == kind_of(parts[0].feeds)]
    full = next(iter(_fitting(same * max_rows, max_rows)), [])
    if len(full) < 2:
        raise ArtifactError(
            f"golden.json: its requests do not fit twice into {max_rows} rows; make them smaller"
        )
    seconds = math.inf
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        together = _shared(pipeline, full)
        seconds = min(seconds, time.perf_counter() - begin)
    for index, part in enumerate(full[: len(same) + 1]):
        if together is None or not _equal(together[index], _alone(pipeline, part)):
            raise ArtifactError(
                f"model.onnx: a request in a batch of {len(full)} is not answered as it is alone;"
                " set the largest batch to 1"
            )
    return seconds


def _equal(one: dict[str, Array], other: dict[str, Array]) -> bool:
    return all(
        np.allclose(one[name], other[name], _RELATIVE, _ABSOLUTE, equal_nan=True)
        if other[name].dtype.kind == "f"
        else np.array_equal(one[name], other[name])
        for name in other
    )


def kind_of(feeds: dict[str, Array]) -> Hashable:
    """What calls must have in common to share a run."""
    return tuple([(name, feeds[name].dtype, feeds[name].shape[1:]) for name in sorted(feeds)])


def _fitting(group: list[_Part], max_rows: int) -> list[list[_Part]]:
    """In order, as many together as have `max_rows` rows; a larger call is alone."""
    batches: list[list[_Part]] = []
    rows = max_rows
    for part in group:
        rows += part.rows or max_rows
        if rows > max_rows:
            batches.append([])
            rows = part.rows or max_rows
        batches[-1].append(part)
    return batches


def _run_parts(pipeline: Pipeline, parts: list[_Part], outcomes: list[Outcome]) -> None:
    arrays = _shared(pipeline, parts) if len(parts) > 1 else None
    for index, part in enumerate(parts):
        try:
            given = _alone(pipeline, part) if arrays is None else arrays[index]
            outcomes[part.place] = pipeline.outputs(part.call, given)
        except Exception as error:
            outcomes[part.place] = error


def _alone(pipeline: Pipeline, part: _Part) -> dict[str, Array]:
    names = pipeline.graph_outputs(part.call)
    return dict(zip(names, pipeline.infer(names, part.feeds), strict=True))


def _shared(pipeline: Pipeline, parts: list[_Part]) -> list[dict[str, Array]] | None:
    """Each part's rows of the union of what they want; None if they must be run one by one."""
    names = list(dict.fromkeys(name for part in parts for name in pipeline.graph_outputs(part.call)))
    try:
        feeds = {name: np.concatenate([part.feeds[name] for part in parts]) for name in parts[0].feeds}
        arrays = pipeline.infer(names, feeds)
    except Exception:
        return None  # whose fault it is, each run alone says
    rows = [part.rows or 0 for part in parts]
    if any(array.shape[:1] != (sum(rows),) for array in arrays):
        return None
    return _split(dict(zip(names, arrays, strict=True)), rows)


def _split(arrays: dict[str, Array], rows: Sequence[int]) -> list[dict[str, Array]]:
    stops = np.cumsum(rows).tolist()
    return [
        {name: array[stop - count : stop] for name, array in arrays.items()}
        for stop, count in zip(stops, rows, strict=True)
    ]
