"""The last two weeks of each history -> the graph -> as many hours as were asked for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v2serve.pipeline import BadInput

Arrays = dict[str, NDArray[Any]]

_limits: dict[str, Any] = {}


def load(folder: Path) -> None:
    global _limits
    _limits = json.loads((folder / "contract.json").read_text("utf-8"))["parameters"]


def preprocess(inputs: Arrays, _: Mapping[str, Any]) -> Arrays:
    """`history` [n, t] -> its newest hours, [n, shortest_history]."""
    _horizon(inputs)
    history = inputs["history"]
    _check_size(*history.shape)
    newest = np.ascontiguousarray(history[:, -_limits["shortest_history"] :])
    _check_values(newest, history.shape[1] - newest.shape[1])
    return {"history": newest}


def postprocess(outputs: Arrays, inputs: Arrays, _: Mapping[str, Any]) -> Arrays:
    horizon = _horizon(inputs)
    return {name: values[:, :horizon] for name, values in outputs.items()}


def _horizon(inputs: Arrays) -> int:
    """Hours ahead, one number for all histories of the request."""
    horizon = int(inputs["horizon"][0]) if "horizon" in inputs else int(_limits["default_horizon"])
    if not 1 <= horizon <= _limits["largest_horizon"]:
        raise BadInput(
            f"input 'horizon': {horizon} given, the model takes 1 to {_limits['largest_horizon']} hours"
        )
    return horizon


def _check_size(rows: int, hours: int) -> None:
    if not 1 <= rows <= _limits["largest_rows"]:
        raise BadInput(
            f"input 'history': {rows} histories given, the model takes 1 to {_limits['largest_rows']}"
        )
    if not _limits["shortest_history"] <= hours <= _limits["longest_history"]:
        raise BadInput(
            f"input 'history': {hours} hours given, the model takes {_limits['shortest_history']} (two weeks)"
            f" to {_limits['longest_history']} and reads the last {_limits['shortest_history']}"
        )


def _check_values(newest: NDArray[np.float32], before: int) -> None:
    """`before` hours precede the newest, so that an error names the place in the request."""
    wrong = ~(np.abs(newest) <= _limits["largest_magnitude"])  # NaN is not smaller than anything
    if wrong.any():
        row, hour = np.argwhere(wrong)[0]
        raise BadInput(
            f"input 'history': element [{row},{hour + before}] is {newest[row, hour]};"
            f" give numbers from -{_limits['largest_magnitude']:g} to {_limits['largest_magnitude']:g},"
            " and fill gaps before you ask"
        )
    still = newest.min(axis=1) == newest.max(axis=1)
    if still.any():
        row = int(still.argmax())
        raise BadInput(
            f"input 'history': row {row} is {newest[row, 0]} in all of its last {newest.shape[1]} hours;"
            " a constant needs no forecast, and its intervals would mean nothing"
        )
