"""Refuse series that a forecaster must not learn from, and splits that would let it see the future."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from plan import train_params
from series import (
    ETTH1_SCHEMA,
    ETTH1_TEST,
    ETTH1_TRAIN,
    ETTH1_VALIDATION,
    HORIZON,
    M4_SCHEMA,
    Panel,
    panel,
    read_etth1,
    read_m4,
)
from windows import LENGTH, check_held_out

from trainkit.checks import Finding, finding
from trainkit.frames import checked
from trainkit.limits import Count, Share
from trainkit.params import read_params
from trainkit.stage import run_stage
from trainkit.validation import reported

SHORTEST = LENGTH + 2 * HORIZON  # a window to learn from, and one that is held out


@dataclass(frozen=True)
class Limits:
    min_series: Count
    max_repeated_share: Share


def validate() -> str:
    table, limits = read_m4(), read_params("validate", Limits)
    findings = list(m4_findings(table, limits)) + list(etth1_findings(read_etth1()))
    passed = reported(findings, "the data", rows=len(table))
    check_held_out(train_params().held_out, panel(table).train)
    return f"{len(table)} hours of {table.series_id.nunique()} series, {passed}"


def m4_findings(table: pd.DataFrame, limits: Limits) -> Iterator[Finding]:
    """Each check reads only what the ones before it have vouched for."""
    columns = named("M4", checked(table, M4_SCHEMA))
    yield from columns
    if not all(found.passed for found in columns):
        return
    for check, problem in (
        ("M4 series", lambda: _too_few(table, limits)),
        ("M4 hours", lambda: _gaps(table)),
        ("M4 split", lambda: _split(table)),
    ):
        found = finding(check, problem())
        yield found
        if not found.passed:
            return
    series = panel(table)
    yield finding("M4 leakage", _copies(series))
    yield finding("M4 constant series", _constant(series, limits))


def etth1_findings(table: pd.DataFrame) -> Iterator[Finding]:
    columns = named("ETTh1", checked(table, ETTH1_SCHEMA))
    yield from columns
    if all(found.passed for found in columns):
        yield finding("ETTh1 hours", _etth1_hours(table))


def named(file: str, findings: list[Finding]) -> list[Finding]:
    return [replace(found, check=f"{file} {found.check}") for found in findings]


def _too_few(table: pd.DataFrame, limits: Limits) -> str | None:
    count = table.series_id.nunique()
    return f"{count} series, at least {limits.min_series} are needed" if count < limits.min_series else None


def _gaps(table: pd.DataFrame) -> str | None:
    steps = table.groupby("series_id").step
    broken = (steps.max() != steps.size()) | (steps.min() != 1)
    return f"{broken.sum()} series miss hours, first {broken.idxmax()}" if broken.any() else None


def _split(table: pd.DataFrame) -> str | None:
    """Training comes first and is long enough; test is exactly the last HORIZON hours."""
    sizes = (
        table.groupby(["series_id", "split"])
        .size()
        .unstack(fill_value=0)
        .reindex(columns=["train", "test"], fill_value=0)
    )
    wrong = (sizes.test != HORIZON) | (sizes.train < SHORTEST)
    if wrong.any():
        name = wrong.idxmax()
        return (
            f"{wrong.sum()} series, first {name} with {sizes.train[name]} training and {sizes.test[name]} test hours; "
            f"at least {SHORTEST} and exactly {HORIZON} are needed"
        )
    first = table[table.split == "test"].groupby("series_id").step.min()
    late = table[table.split == "train"].groupby("series_id").step.max() >= first
    return (
        f"{late.sum()} series train on hours after their test, first {late.idxmax()}" if late.any() else None
    )


def _copies(series: Panel) -> str | None:
    """Test hours that are some series' training hours, at whatever place, cannot be forecast honestly."""
    wanted = {row.tobytes(): name for row, name in zip(series.test, series.names, strict=True)}
    if len(wanted) < len(series.names):
        return "two series have the same test hours"
    for name, train in zip(series.names, series.train, strict=True):
        for piece in np.lib.stride_tricks.sliding_window_view(train, HORIZON):
            if found := wanted.get(piece.tobytes()):
                return f"the test hours of {found} are in the training hours of {name}"
    return None


def _constant(series: Panel, limits: Limits) -> str | None:
    shares = [np.unique(train, return_counts=True)[1].max() / len(train) for train in series.train]
    worst = int(np.argmax(shares))
    if shares[worst] <= limits.max_repeated_share:
        return None
    return f"{series.names[worst]} has one value in a share of {shares[worst]:.3f}, above {limits.max_repeated_share}"


def _etth1_hours(table: pd.DataFrame) -> str | None:
    needed = ETTH1_TRAIN + ETTH1_VALIDATION + ETTH1_TEST
    if len(table) < needed:
        return f"{len(table)} hours, the standard split needs {needed}"
    steps = pd.to_datetime(table.date, errors="coerce").diff().iloc[1:]
    broken = int((steps != pd.Timedelta(hours=1)).sum())
    return f"{broken} rows do not follow the row before by an hour" if broken else None


if __name__ == "__main__":
    run_stage(validate)
