"""What the rows of the two files are, and the series in them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from trainkit.frames import read_frame

M4 = Path("data/m4_hourly_100.parquet")
ETTH1 = Path("data/ETTh1.csv")
HORIZON = 48  # hours, as the competition asks
DAY, WEEK = 24, 168
ETTH1_TRAIN, ETTH1_VALIDATION, ETTH1_TEST = 12 * 30 * DAY, 4 * 30 * DAY, 4 * 30 * DAY  # the split of Informer

FINITE = pa.Check(lambda column: np.isfinite(column), error="a number")
M4_SCHEMA = pa.DataFrameSchema(
    {
        "series_id": pa.Column(str, pa.Check.str_matches(r"^H\d+$")),
        "step": pa.Column("int32", pa.Check.ge(1)),
        "split": pa.Column(str, pa.Check.isin(["train", "test"])),
        "value": pa.Column("float64", [FINITE, pa.Check.in_range(-1e9, 1e9)]),
    },
    unique=["series_id", "step"],
    strict=True,
)
ETTH1_SCHEMA = pa.DataFrameSchema(
    {"date": pa.Column(str, unique=True), "OT": pa.Column("float64", [FINITE, pa.Check.in_range(-50, 150)])}
)


@dataclass(frozen=True)
class Panel:
    """Training series of different lengths, oldest first, and the hours that follow each, [series, HORIZON]."""

    names: tuple[str, ...]
    train: tuple[NDArray[np.float64], ...]
    test: NDArray[np.float64]


def read_m4(path: Path = M4) -> pd.DataFrame:
    return read_frame(path)


def read_etth1(path: Path = ETTH1) -> pd.DataFrame:
    return read_frame(path)


def panel(table: pd.DataFrame) -> Panel:
    """By name and step; the file's own split."""
    ordered = table.sort_values(["series_id", "step"])
    parts = {split: rows.groupby("series_id", sort=True).value for split, rows in ordered.groupby("split")}
    train = {str(name): values.to_numpy() for name, values in parts["train"]}
    test = np.stack([values.to_numpy() for _, values in parts["test"]])
    return Panel(tuple(train), tuple(train.values()), test)


def learning_series() -> list[NDArray[np.float64]]:
    """What is learned from: the training hours of M4, and the training year of ETTh1's oil temperature."""
    return [*panel(read_m4()).train, oil_temperature(read_etth1())[0]]


def oil_temperature(table: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The hours to train on, and the hours to test on with the two weeks before them."""
    values = table.OT.to_numpy()
    start = ETTH1_TRAIN + ETTH1_VALIDATION
    return values[:ETTH1_TRAIN], values[start - 2 * WEEK : start + ETTH1_TEST]
