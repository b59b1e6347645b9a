"""A table of numbers and classes, read without guessing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainkit.errors import TrainError


@dataclass(frozen=True)
class Column:
    """A feature; values outside [low, high] (in `unit`) are wrong, not rare."""

    name: str
    unit: str
    low: float
    high: float


@dataclass(frozen=True)
class Schema:
    """`classes[code]` names the class that the file writes as `code`."""

    columns: tuple[Column, ...]
    classes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True)
class Table:
    """`features` is float32 [rows, columns], as the server will get them; an unknown label is ""."""

    features: NDArray[np.float32]
    labels: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.intp]) -> "Table":
        return Table(self.features[rows], self.labels[rows])

    def distinct(self) -> "Table":
        """Without the later copies of equal rows, so that no row can be in training and test at once."""
        _, first = np.unique(self.features, axis=0, return_index=True)
        return self.take(np.sort(first))


def read_table(path: Path, schema: Schema) -> Table:
    """scikit-learn's packaged CSV: `rows,columns,class...`, then the features and the class code of each row.

    Only the first columns that the schema names are kept. Empty cells become NaN, for the checks to report.
    """
    lines = _lines(path)
    header = lines[0].split(",")
    width = _width(path, header, schema)
    rows = [_cells(path, number, line, width) for number, line in enumerate(lines[1:], start=2)]
    if header[0] != str(len(rows)):
        raise TrainError(
            f"{path.name}: the header says {header[0]} rows, the file has {len(rows)}: is it whole?"
        )
    values = np.array([row[: len(schema.columns)] for row in rows], dtype=np.float32)
    return Table(values.reshape(len(rows), len(schema.columns)), _labels([row[-1] for row in rows], schema))


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise TrainError(f"{path} is missing: python -m trainkit fetch .") from None
    except UnicodeDecodeError:
        raise TrainError(f"{path} is not text: is it the right file?") from None
    if not lines:
        raise TrainError(f"{path} is empty: delete it and fetch it again")
    return lines


def _width(path: Path, header: list[str], schema: Schema) -> int:
    classes = tuple(header[2:])
    if classes != schema.classes:
        raise TrainError(f"{path.name}: classes are {list(classes)}, schema.py says {list(schema.classes)}")
    if not header[1].isdigit() or int(header[1]) < len(schema.columns):
        raise TrainError(f"{path.name}: {header[1]} columns, schema.py names {len(schema.columns)}")
    return int(header[1])


def _cells(path: Path, number: int, line: str, width: int) -> list[float]:
    cells = line.split(",")
    if len(cells) != width + 1:
        raise TrainError(
            f"{path.name} line {number}: {len(cells)} cells, {width} features and a class expected"
        )
    try:
        return [float(cell) if cell.strip() else float("nan") for cell in cells]
    except ValueError as error:
        raise TrainError(f"{path.name} line {number}: {error}") from None


def _labels(codes: list[float], schema: Schema) -> NDArray[np.str_]:
    names = dict(enumerate(schema.classes))
    return np.array([names.get(code, "") for code in codes], dtype=np.str_)  # type: ignore[call-overload]
