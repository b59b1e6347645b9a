"""What train.parquet and test.parquet hold, and the features of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainkit.errors import TrainError
from trainkit.served import served_code

TRAIN, TEST = Path("data/train.parquet"), Path("data/test.parquet")
COLUMNS = {"image": "binary", "label": "int8", "scene": "int16", "file": "string"}
CLASSES = ("sharp", "blurred")  # label 0 and 1


@dataclass(frozen=True)
class Photographs:
    """`image` are encoded files; photographs of one `scene` show the same place."""

    images: list[bytes]
    labels: NDArray[np.int8]
    scenes: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.images)


def read_photographs(path: Path) -> Photographs:
    """TrainError for a file that is missing, not parquet, of other columns, or with nulls."""
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise TrainError(f"{path} is missing: python -m trainkit fetch .") from None
    except (pa.ArrowException, OSError) as error:
        raise TrainError(f"{path} is not parquet: {str(error).splitlines()[0]}") from None
    _check_columns(path, table)
    label, scene = (table.column(name).to_numpy() for name in ("label", "scene"))
    return Photographs(table.column("image").to_pylist(), label, scene)


def features(photographs: Photographs, name: str) -> NDArray[np.float32]:
    """[images, features]; TrainError names the row that the served model would refuse."""
    code = served_code()
    try:
        rows = [
            code.features_of(image, f"row {row}") for row, image in enumerate(photographs.images, start=1)
        ]
    except code.BadInput as error:
        raise TrainError(f"{name}: image of {error}") from None
    return np.stack(rows)


def _check_columns(path: Path, table: Any) -> None:
    found = {field.name: str(field.type) for field in table.schema}
    if found != COLUMNS:
        raise TrainError(f"{path}: columns are {found}, wanted {COLUMNS}")
    for name in COLUMNS:
        if nulls := table.column(name).null_count:
            raise TrainError(f"{path}: {nulls} rows have no {name}; every row needs one")
    if not table.num_rows:
        raise TrainError(f"{path}: no rows")
