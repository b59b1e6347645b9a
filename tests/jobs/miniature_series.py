"""Data sets of the forecast's schemas: hours with a daily and a weekly habit, and noise."""

import io

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SERIES, TRAIN, HORIZON = 8, 700, 48
ETTH1_HOURS = 14_400


def hours(seed: int, count: int, level: float = 500.0) -> NDArray[np.float64]:
    random, hour = np.random.default_rng(seed), np.arange(count)
    habit = np.sin(2 * np.pi * hour / 24) + 0.5 * np.sin(2 * np.pi * hour / 168)
    return np.round(level * (1 + 0.2 * habit) + random.normal(0, 0.03 * level, count), 3)


def m4(series: int = SERIES) -> pd.DataFrame:
    parts = []
    for number in range(series):
        count = TRAIN + HORIZON
        split = np.where(np.arange(count) < TRAIN, "train", "test")
        values = hours(number, count, 10.0 ** (number % 4 + 1))
        steps = np.arange(1, count + 1, dtype=np.int32)
        parts.append(
            pd.DataFrame({"series_id": f"H{4 * number + 1}", "step": steps, "split": split, "value": values})
        )
    return pd.concat(parts, ignore_index=True)


def etth1() -> pd.DataFrame:
    dates = pd.date_range("2016-07-01", periods=ETTH1_HOURS, freq="h").strftime("%Y-%m-%d %H:%M:%S")
    table = pd.DataFrame({"date": dates})
    for number, name in enumerate(("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")):
        table[name] = hours(100 + number, ETTH1_HOURS, 15.0)
    return table


def parquet(table: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    table.to_parquet(out, index=False)
    return out.getvalue()


def csv(table: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    table.to_csv(out, index=False)
    return out.getvalue()
