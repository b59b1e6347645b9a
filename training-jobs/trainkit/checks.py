"""Checks of the data before anything learns from it: a list of findings, pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainkit.errors import TrainError
from trainkit.limits import Between, Count, Share
from trainkit.splits import Fold, leaked_rows
from trainkit.table import Schema, Table


@dataclass(frozen=True)
class Limits:
    """Section `validate` of params.yaml."""

    min_rows_per_class: Count
    min_class_share: Share
    max_duplicate_share: Share
    drift_warn: Annotated[float, Between(0, 100)]
    drift_fail: Annotated[float, Between(0, 100)]

    def __post_init__(self) -> None:
        if self.drift_warn > self.drift_fail:
            raise TrainError(
                f"params.yaml: validate.drift_warn is {self.drift_warn}; write at most drift_fail, {self.drift_fail}"
            )


class LabelLimits(Protocol):
    @property
    def min_rows_per_class(self) -> int: ...
    @property
    def min_class_share(self) -> float: ...


@dataclass(frozen=True)
class Finding:
    """One check; `detail` says what was seen, with the first places."""

    check: str
    passed: bool
    detail: str


def check_table(table: Table, schema: Schema, limits: Limits) -> list[Finding]:
    checks: dict[str, Callable[[], str | None]] = {
        "missing values": lambda: _missing(table, schema),
        "ranges": lambda: _ranges(table, schema),
        "duplicates": lambda: _duplicates(table, limits),
        "conflicts": lambda: _conflicts(table),
        "constant columns": lambda: _constant(table, schema),
        "label leakage": lambda: _label_leakage(table, schema),
    }
    found = [finding(name, check()) for name, check in checks.items()]
    return [*found, *check_labels(table.labels, schema.classes, limits)]


def check_labels(labels: NDArray[np.str_], classes: Sequence[str], limits: LabelLimits) -> list[Finding]:
    """Each label is one of the classes, and each class has its rows; a label that is unknown may be written ""."""
    counts = {name: int((labels == name).sum()) for name in classes}
    return [
        finding("labels", _unknown_labels(labels, classes)),
        finding("classes", _absent_classes(counts, limits)),
        finding("balance", _balance(counts, len(labels), limits)),
    ]


def check_split(table: Table, split: list[Fold]) -> Finding:
    """No row may be trained on and tested on in the same fold, under whatever row number."""
    leaked = leaked_rows(table, split)
    return finding("split leakage", f"{leaked} test rows are also training rows" if leaked else None)


def as_report(findings: list[Finding], **facts: Any) -> dict[str, Any]:
    """The findings, whether all passed, and whatever else is worth knowing of the data."""
    return {
        "checks": [vars(found) for found in findings],
        "passed": all(found.passed for found in findings),
        **facts,
    }


def refuse_failed(findings: list[Finding], file: str) -> None:
    failed = [f"{found.check}: {found.detail}" for found in findings if not found.passed]
    if failed:
        raise TrainError(f"{file} fails {len(failed)} of {len(findings)} checks: {'; '.join(failed)}")


def finding(check: str, problem: str | None) -> Finding:
    """Of a check that found `problem`, or nothing."""
    return Finding(check, problem is None, problem or "none found")


def _missing(table: Table, schema: Schema) -> str | None:
    where = np.argwhere(~np.isfinite(table.features))
    if not len(where):
        return None
    row, column = where[0]
    return f"{len(where)} NaN or infinite values, first in {schema.names[column]} of row {row + 1}"


def _ranges(table: Table, schema: Schema) -> str | None:
    low = np.array([column.low for column in schema.columns], dtype=np.float32)
    high = np.array([column.high for column in schema.columns], dtype=np.float32)
    where = np.argwhere((table.features < low) | (table.features > high))
    if not len(where):
        return None
    row, index = where[0]
    column, value = schema.columns[index], table.features[row, index]
    return (
        f"{len(where)} values out of range, first {column.name} = {value} {column.unit} of row {row + 1}, "
        f"allowed {column.low} to {column.high}"
    )


def _unknown_labels(labels: NDArray[np.str_], classes: Sequence[str]) -> str | None:
    rows = np.flatnonzero(~np.isin(labels, list(classes)))
    return f"{len(rows)} rows without a known class, first row {rows[0] + 1}" if len(rows) else None


def _absent_classes(counts: Mapping[str, int], limits: LabelLimits) -> str | None:
    present = [name for name, count in counts.items() if count]
    if len(present) < 2:
        return f"only one class, {present[0]}" if present else "no class at all"
    few = [f"{name} has {count}" for name, count in counts.items() if count < limits.min_rows_per_class]
    return f"{', '.join(few)} rows, at least {limits.min_rows_per_class} are needed" if few else None


def _balance(counts: Mapping[str, int], rows: int, limits: LabelLimits) -> str | None:
    shares = {name: count / max(rows, 1) for name, count in counts.items()}
    rare = [f"{name} {share:.3f}" for name, share in shares.items() if share < limits.min_class_share]
    return f"share of {', '.join(rare)} is below {limits.min_class_share}" if rare else None


def _duplicates(table: Table, limits: Limits) -> str | None:
    copies = len(table) - len(table.distinct())
    share = copies / max(len(table), 1)
    if share <= limits.max_duplicate_share:
        return None
    return f"{copies} copies of other rows, share {share:.3f} is above {limits.max_duplicate_share}"


def _conflicts(table: Table) -> str | None:
    _, kind = np.unique(table.features, axis=0, return_inverse=True)
    pairs = {(int(row), str(label)) for row, label in zip(kind.reshape(-1), table.labels, strict=True)}
    conflicts = len(pairs) - len({row for row, _ in pairs})
    return f"{conflicts} equal rows have different classes" if conflicts else None


def _constant(table: Table, schema: Schema) -> str | None:
    if not len(table):
        return "no rows"
    same = [
        name
        for name, values in zip(schema.names, table.features.T, strict=True)
        if len(np.unique(values)) == 1
    ]
    return f"{', '.join(same)} never changes" if same else None


def _label_leakage(table: Table, schema: Schema) -> str | None:
    """A column with one value a class is the label under another name."""
    leaks = [
        name
        for name, values in zip(schema.names, table.features.T, strict=True)
        if 1 < len(np.unique(values)) <= len(schema.classes) and _determines(values, table)
    ]
    return f"{', '.join(leaks)} has one value a class: the label in disguise" if leaks else None


def _determines(values: np.ndarray, table: Table) -> bool:
    pairs = {(float(value), str(label)) for value, label in zip(values, table.labels, strict=True)}
    return len(pairs) == len({value for value, _ in pairs})
