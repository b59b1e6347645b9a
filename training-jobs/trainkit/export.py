"""The Release of a classifier of tables: its contract from the graph, golden rows spread over the table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from trainkit.card import feature_table
from trainkit.explain import background, explained
from trainkit.graph import infer, tensors
from trainkit.limits import Between, Seed, Tolerance
from trainkit.parity import compared
from trainkit.reference import reference
from trainkit.release import Release, write_release
from trainkit.table import Schema, Table


@dataclass(frozen=True)
class Limits:
    """Section `export` of params.yaml; `tolerance` is the largest absolute difference of a probability.

    `background_rows`, drawn with `background_seed`, are what explanations compare a row with; they are in the artifact.
    """

    golden_rows: Annotated[int, Between(1, 1000)]
    tolerance: Tolerance
    background_rows: Annotated[int, Between(1, 1000)]
    background_seed: Seed


@dataclass(frozen=True)
class Export:
    """What a job hands over; `scores` are the source's answers on all rows, by the graph's output name.

    The first of the scores is what explanations are of.
    """

    graph: onnx.ModelProto
    table: Table
    schema: Schema
    labels: NDArray[np.str_]
    scores: Mapping[str, NDArray[Any]]
    about: Mapping[str, str]
    method: str


def export_artifact(export: Export, limits: Limits) -> str:
    """Write `artifact/` in the job's folder, the current one; a line with the digest and the parity."""
    return write_release(as_release(export, limits))


def as_release(export: Export, limits: Limits) -> Release:
    """Checked against the source on all rows; the contract is read from the graph, so the two cannot differ."""
    content, schema = export.graph.SerializeToString(deterministic=True), export.schema
    answers = infer(content, export.table.features)
    parity = compared(answers, {"label": export.labels, **export.scores}, limits.tolerance)
    rows = np.linspace(0, len(export.table) - 1, limits.golden_rows).astype(np.intp)
    return Release(
        graph=content,
        inputs=tensors(export.graph.graph.input),
        outputs=tensors(export.graph.graph.output),
        parameters={"features": list(schema.names), "labels": sorted(schema.classes)},
        golden=[{"features": export.table.features[rows]}],
        golden_tolerance=limits.tolerance,
        reference=reference(export.table, schema),
        about=export.about,
        method=export.method,
        parity=parity,
        files=_explained(export, limits),
        takes=feature_table(schema),
    )


def _explained(export: Export, limits: Limits) -> dict[str, bytes]:
    rows = background(export.table, limits.background_rows, limits.background_seed)
    return explained("shapley", ["features"], next(iter(export.scores)), background=rows)
