"""What the training data looked like: what drift is measured against."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainkit.documents import rounded, shortest
from trainkit.table import Schema, Table

BINS = 10


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


def class_shares(labels: NDArray[np.str_], classes: Sequence[str]) -> dict[str, float]:
    return {name: rounded((labels == name).mean()) for name in classes}


def shares_within(edges: Any, values: NDArray[Any]) -> list[float]:
    """The share of `values` in each bin between the inner `edges`; one more bin than edges."""
    inner = np.asarray(edges, dtype=np.float32)
    homes = np.searchsorted(inner, np.asarray(values, dtype=np.float32), side="left")
    return [float(count) / max(len(values), 1) for count in np.bincount(homes, minlength=len(inner) + 1)]
