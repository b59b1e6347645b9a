"""What the training data looked like: what drift is measured against."""

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
        "features": [
            {"name": column.name, "unit": column.unit, **_statistics(values)} for column, values in columns
        ],
        "classes": {name: rounded((table.labels == name).mean()) for name in schema.classes},
    }


def _statistics(values: NDArray[np.float32]) -> dict[str, Any]:
    """`quantiles` are the inner edges; bin i holds edges[i-1] < value <= edges[i]; equal edges are merged."""
    edges = np.unique(np.quantile(values, np.arange(1, BINS) / BINS, method="nearest"))
    homes = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    low, high = shortest(np.array([values.min(), values.max()]))
    return {
        "min": low,
        "max": high,
        "mean": rounded(values.mean(dtype=np.float64)),
        "std": rounded(values.std(dtype=np.float64, ddof=1)),
        "quantiles": shortest(edges),
        "shares": [rounded(count / len(values)) for count in homes],
    }
