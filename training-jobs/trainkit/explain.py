"""`explain.json` of an artifact: what v2serve hides of which input to say why it answered (docs/v2serve.md)."""

import json
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainkit.documents import shortest
from trainkit.table import Table

Kind = Literal["shapley", "occlusion", "words"]


def explained(kind: Kind, inputs: list[str], output: str, **more: Any) -> dict[str, bytes]:
    """For `files` of a Release; `more` is `background`, `grid` or `words`."""
    plan = {"kind": kind, "inputs": inputs, "output": output, **more}
    return {"explain.json": json.dumps(plan, sort_keys=True, separators=(",", ":")).encode() + b"\n"}


def background(table: Table, rows: int, seed: int) -> list[list[float]]:
    """So many of the rows, drawn by seed and without copies: what a row's features are compared with."""
    known = table.distinct()
    drawn = np.random.default_rng(seed).choice(len(known), min(rows, len(known)), replace=False)
    features: NDArray[np.float32] = known.features[np.sort(drawn)]
    return [shortest(row) for row in features]
