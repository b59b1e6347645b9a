"""Refuse texts that the model must not learn from, or be judged on."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import pandas as pd
from texts import CLASSES, TEST, TRAIN, VALIDATION, read_frame

from trainkit.documents import write_json
from trainkit.errors import TrainError
from trainkit.params import read_params
from trainkit.served import served_code
from trainkit.stage import REPORT, run_stage


@dataclass(frozen=True)
class Limits:
    min_texts_per_class: int
    min_class_share: float
    max_duplicate_share: float


def validate() -> str:
    limits = read_params("validate", Limits)
    frames = {path.name: read_frame(path) for path in (TRAIN, VALIDATION, TEST)}
    problems = [text for name, frame in frames.items() for text in _split(name, frame, limits)]
    problems += list(_leakage(frames))
    rows = {name: len(frame) for name, frame in frames.items()}
    write_json(REPORT, {"passed": not problems, "problems": problems, "rows": rows})
    if problems:
        raise TrainError(f"the texts fail {len(problems)} checks: {'; '.join(problems)}")
    return ", ".join(f"{name} {count} texts" for name, count in rows.items()) + ", every check passed"


def _split(name: str, frame: pd.DataFrame, limits: Limits) -> Iterator[str]:
    if problem := _schema(frame):
        yield f"{name}: {problem}"
        return
    counts = frame["label"].value_counts().reindex(["0", "1"], fill_value=0)
    if not counts.all():
        yield f"{name}: only one class, {CLASSES[int(counts.idxmax())]}"
    elif counts.min() < limits.min_texts_per_class:
        yield f"{name}: {counts.min()} texts of a class, at least {limits.min_texts_per_class} are needed"
    elif counts.min() / len(frame) < limits.min_class_share:
        yield f"{name}: the share {counts.min() / len(frame):.3f} of a class is below {limits.min_class_share}"
    copies = int(frame["text"].duplicated().sum())
    if copies / len(frame) > limits.max_duplicate_share:
        yield f"{name}: {copies} texts are there before; more than a share of {limits.max_duplicate_share}"


def _schema(frame: pd.DataFrame) -> str | None:
    """The first row that breaks pandera's schema, counted from 1; None if none does."""
    from pandera.errors import SchemaErrors

    if not len(frame):
        return "no rows"
    try:
        _rules().validate(frame, lazy=True)
    except SchemaErrors as errors:
        first = errors.failure_cases.sort_values("index").iloc[0]
        given = str(first["failure_case"])[:60]
        return f"{first['column']} of row {int(first['index']) + 1} is {given!r}, wanted {first['check']}"
    return None


def _rules() -> "DataFrameSchema":  # noqa: F821 - imported late: half a second
    from pandera.pandas import Check, Column, DataFrameSchema

    largest = served_code().MAX_BYTES
    return DataFrameSchema(
        {
            "text": Column(
                str,
                [
                    Check(lambda texts: texts.str.strip() != "", error="a text that is not empty"),
                    Check(
                        lambda texts: texts.str.encode("utf-8").str.len() <= largest,
                        error=f"at most {largest} bytes",
                    ),
                ],
            ),
            "label": Column(str, Check.isin(["0", "1"], error="0 (negative) or 1 (positive)")),
        },
        strict=True,
    )


def _leakage(frames: dict[str, pd.DataFrame]) -> Iterator[str]:
    """The same words in two splits, however they are cased and spaced."""
    kept = {
        name: {" ".join(text.lower().split()) for text in frame["text"]} for name, frame in frames.items()
    }
    for one, other in combinations(kept, 2):
        if shared := sorted(kept[one] & kept[other]):
            yield f"{len(shared)} texts of {other} are in {one} too, such as {shared[0][:60]!r}"


if __name__ == "__main__":
    run_stage(validate)
