"""Users and what they have seen -> columns of the catalogue -> the graph -> ids of films, best first."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v2serve.pipeline import BadInput

Arrays = dict[str, NDArray[Any]]
Columns = NDArray[np.int64]

PADDING = -1
NOTHING: Columns = np.empty(0, np.int64)
_items: Columns = NOTHING  # ids, sorted; the position is the column
_users: dict[int, Columns] = {}
_limits: dict[str, int] = {}


def load(folder: Path) -> None:
    global _items, _users, _limits
    document = json.loads((folder / "catalogue.json").read_text("utf-8"))
    _items = np.array(document["items"], np.int64)
    _users = {int(user): np.array(columns, np.int64) for user, columns in document["users"].items()}
    contract = json.loads((folder / "contract.json").read_text("utf-8"))
    names = ("default_k", "largest_k", "largest_rows", "longest_seen")
    _limits = {name: contract["parameters"][name] for name in names}


def preprocess(inputs: Arrays, parameters: Mapping[str, Any]) -> Arrays:
    """`films`: the columns that anybody in this request has seen; `history` [n, films]; `seen` [n, items]."""
    _k(parameters)
    users = _checked_users(inputs["user"])
    histories = [_users.get(user, NOTHING) for user in users]
    if "seen" in inputs:
        said = _said(inputs["seen"], len(users))
        histories = [np.union1d(*pair) for pair in zip(histories, said, strict=True)]
    seen = np.zeros((len(users), len(_items)), np.bool_)
    for row, columns in zip(seen, histories, strict=True):
        row[columns] = True
    films = histories[0] if len(users) == 1 else np.flatnonzero(seen.any(axis=0))
    if not len(films):
        films = np.zeros(1, np.int64)  # a graph multiplies at least one row, here by zero
    return {"films": films, "history": seen[:, films].astype(np.float32), "seen": seen}


def postprocess(outputs: Arrays, inputs: Arrays, parameters: Mapping[str, Any]) -> Arrays:
    k = _k(parameters)
    scores = outputs["score"][:, :k]
    left = np.isfinite(scores).sum(axis=1)
    if scores.shape[1] < k or left.min() < k:
        user = int(inputs["user"][left.argmin()])
        raise BadInput(
            f"parameter 'k': {k} asked, only {left.min()} films are left that user {user} has not seen;"
            " ask for fewer"
        )
    return {
        "items": _items[outputs["best"][:, :k]],
        "scores": scores,
        "personalized": outputs["personalized"],
    }


def _k(parameters: Mapping[str, Any]) -> int:
    k, largest = parameters.get("k", _limits["default_k"]), _limits["largest_k"]
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= largest:
        raise BadInput(
            f"parameter 'k': {str(k)[:40]!r} given, the model takes a whole number from 1 to {largest}"
        )
    return k


def _checked_users(users: Columns) -> list[int]:
    if not 1 <= len(users) <= _limits["largest_rows"]:
        raise BadInput(
            f"input 'user': {len(users)} users given, the model takes 1 to {_limits['largest_rows']}"
        )
    found: list[int] = users.tolist()
    for row, user in enumerate(found):
        if user < 1:
            raise BadInput(f"input 'user': element {row} is {user}; user ids are 1 and above")
    return found


def _said(seen: Columns, rows: int) -> list[Columns]:
    """The columns of each row; -1 fills short rows, and films outside the catalogue say nothing."""
    if len(seen) != rows:
        raise BadInput(f"input 'seen': {len(seen)} rows given, 'user' has {rows}; give a row for each user")
    if seen.shape[1] > _limits["longest_seen"]:
        raise BadInput(
            f"input 'seen': {seen.shape[1]} films a row given, the model takes up to {_limits['longest_seen']}"
        )
    wrong = np.argwhere((seen < 1) & (seen != PADDING))
    if len(wrong):
        row, column = wrong[0]
        raise BadInput(
            f"input 'seen': element [{row},{column}] is {seen[row, column]}; film ids are 1 and above, -1 fills a row"
        )
    return [_columns(row) for row in seen]


def _columns(ids: Columns) -> Columns:
    places = np.minimum(np.searchsorted(_items, ids), len(_items) - 1)
    return places[_items[places] == ids]
