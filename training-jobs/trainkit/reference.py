"""What the training data and the answers on reference rows looked like: what drift is measured against."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainkit.documents import rounded, shortest
from trainkit.errors import TrainError
from trainkit.golden import Tensor
from trainkit.table import Schema, Table

BINS = 10
NUMBERS = ("FP16", "FP32", "FP64")
COLUMN = (1, 2)  # axes of what has one value a row, or several


def reference(table: Table, schema: Schema) -> dict[str, Any]:
    """Per feature: range, moments, decile edges and the share of rows in each bin; the share of each class."""
    columns = zip(schema.columns, table.features.T, strict=True)
    return {
        "rows": len(table),
        "features": [feature(column.name, column.unit, values) for column, values in columns],
        "classes": class_shares(table.labels, schema.classes),
    }


def feature(name: str, unit: str, values: NDArray[Any]) -> dict[str, Any]:
    """`quantiles` are the inner edges; bin i holds edges[i-1] < value <= edges[i]; equal edges are merged."""
    values = np.asarray(values, dtype=np.float32)
    edges = np.unique(np.quantile(values, np.arange(1, BINS) / BINS, method="nearest"))
    low, high = shortest(np.array([values.min(), values.max()]))
    return {
        "name": name,
        "unit": unit,
        "min": low,
        "max": high,
        "mean": rounded(values.mean(dtype=np.float64)),
        "std": rounded(values.std(dtype=np.float64, ddof=1)),
        "quantiles": shortest(edges),
        "shares": [rounded(share) for share in shares_within(edges, values)],
    }


def predictions(
    answers: Mapping[str, NDArray[Any]], outputs: Sequence[Tensor], labels: Sequence[str]
) -> dict[str, Any]:
    """Of what the artifact answered on reference rows, by output: shares of classes, bins of numbers.

    Of a row with several numbers the largest counts, as v2serve counts it: how sure a classifier is. `labels` are
    classes that have a share even where none of the rows was answered so.
    """
    known = {tensor.name: tensor for tensor in outputs}
    for name, values in answers.items():
        if name not in known:
            raise TrainError(f"answers: {name!r} is no output of the release; it has {', '.join(known)}")
        if values.ndim not in COLUMN or len(values) < 2:
            raise TrainError(f"answers: {name} has shape {values.shape}; give a row for each of two or more")
    numbers = [name for name in answers if known[name].datatype in NUMBERS]
    classes = [name for name in answers if name not in numbers]
    if len(classes) > 1:
        raise TrainError(
            f"answers: {' and '.join(classes)} are classes both; one output is watched as the class"
        )
    return {
        "outputs": [feature(name, "", _largest(name, answers[name])) for name in numbers],
        "classes": _answered_shares(answers[classes[0]], labels) if classes else {},
    }


def _largest(name: str, values: NDArray[Any]) -> NDArray[Any]:
    column = values.max(axis=1) if values.ndim == 2 else values
    if not np.isfinite(column).all():
        raise TrainError(f"answers: {name} is not a finite number in {(~np.isfinite(column)).sum()} rows")
    return column


def _answered_shares(answers: NDArray[Any], labels: Sequence[str]) -> dict[str, float]:
    """Booleans are named as JSON names them; answers that are no label are classes all the same."""
    column = answers.reshape(-1)
    names = np.array([_named(value) for value in column.tolist()], np.str_)
    usual = ("false", "true") if column.dtype == np.bool_ else labels
    return class_shares(names, sorted({*usual, *names.tolist()}))


def _named(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value).lower() if isinstance(value, bool) else str(value)


def class_shares(labels: NDArray[np.str_], classes: Sequence[str]) -> dict[str, float]:
    return {name: rounded((labels == name).mean()) for name in classes}


def shares_within(edges: Any, values: NDArray[Any]) -> list[float]:
    """The share of `values` in each bin between the inner `edges`; one more bin than edges."""
    inner = np.asarray(edges, dtype=np.float32)
    homes = np.searchsorted(inner, np.asarray(values, dtype=np.float32), side="left")
    return [float(count) / max(len(values), 1) for count in np.bincount(homes, minlength=len(inner) + 1)]
