"""Refuse texts that the model must not learn from, or be judged on."""

from dataclasses import dataclass, replace

import pandas as pd
from pandera.pandas import Check, Column, DataFrameSchema
from texts import CLASSES, TEST, TRAIN, VALIDATION, read_frame

from trainkit.checks import Finding, check_labels
from trainkit.frames import checked
from trainkit.leakage import check_copies, check_leakage
from trainkit.limits import Count, Share
from trainkit.params import read_params
from trainkit.served import served_code
from trainkit.stage import run_stage
from trainkit.validation import reported

NAMES = {str(code): name for code, name in enumerate(CLASSES)}


@dataclass(frozen=True)
class Limits:
    """Of each split."""

    min_rows_per_class: Count
    min_class_share: Share
    max_duplicate_share: Share


def validate() -> str:
    limits = read_params("validate", Limits)
    frames = {path.name: read_frame(path) for path in (TRAIN, VALIDATION, TEST)}
    findings = [found for name, frame in frames.items() for found in _split(name, frame, limits)]
    findings.append(check_leakage("texts", {name: _words(frame) for name, frame in frames.items()}))
    rows = {name: len(frame) for name, frame in frames.items()}
    passed = reported(findings, "the data", rows=rows)
    return ", ".join(f"{name} {count} texts" for name, count in rows.items()) + f", {passed}"


def _split(name: str, frame: pd.DataFrame, limits: Limits) -> list[Finding]:
    """Classes and copies are counted where every row is what it should be."""
    findings = checked(frame, _rules())
    if all(found.passed for found in findings):
        findings += check_labels(frame["label"].map(NAMES).to_numpy(str), CLASSES, limits)
        findings.append(check_copies("texts", frame["text"], limits.max_duplicate_share))
    return [replace(found, check=f"{name}: {found.check}") for found in findings]


def _words(frame: pd.DataFrame) -> set[str]:
    """The texts, however they were cased and spaced."""
    return {" ".join(text.lower().split()) for text in frame["text"]}


def _rules() -> DataFrameSchema:
    largest = served_code().MAX_BYTES
    return DataFrameSchema(
        {
            "text": Column(
                str,
                [
                    Check(lambda texts: texts.str.strip() != "", error="a text with a word in it"),
                    Check(
                        lambda texts: texts.str.encode("utf-8").str.len() <= largest,
                        error=f"of at most {largest} bytes",
                    ),
                ],
            ),
            "label": Column(str, Check.isin(["0", "1"], error="0 (negative) or 1 (positive)")),
        },
        strict=True,
    )


if __name__ == "__main__":
    run_stage(validate)
