"""The validate stage that jobs share: a table that fails one check is one that no model may learn from."""

from pathlib import Path
from typing import Any

from trainkit.checks import Finding, Limits, as_report, check_split, check_table, refuse_failed
from trainkit.documents import write_json
from trainkit.drift import check_drift, last_reference
from trainkit.params import read_params
from trainkit.reference import class_shares
from trainkit.scores import Evaluation
from trainkit.splits import repeated_folds
from trainkit.stage import REPORT
from trainkit.table import Schema, read_table


def validated(data: Path, schema: Schema) -> str:
    """Check schema, ranges, labels, balance and the splits that evaluation will make; write the report.

    Raises TrainError with every check that failed; the report is written all the same.
    """
    table, limits = read_table(data, schema), read_params("validate", Limits)
    findings = check_table(table, schema, limits)
    tested, plan = table.distinct(), read_params("evaluate", Evaluation)
    findings += [check_split(tested, split) for split in repeated_folds(tested, *plan.as_split())]
    shares = class_shares(table.labels, schema.classes)
    columns = dict(zip(schema.names, table.features.T, strict=True))
    findings += check_drift(last_reference(), columns, shares, limits)
    return f"{len(table)} rows, {reported(findings, data.name, rows=len(table), classes=shares)}"


def reported(findings: list[Finding], data: str, **facts: Any) -> str:
    """Write the report, facts included, then refuse `data` if a check failed; else words for the stage's line."""
    write_json(REPORT, as_report(findings, **facts))
    refuse_failed(findings, data)
    warned = sum(found.detail.startswith("warning") for found in findings)
    return f"{len(findings)} checks passed" + (f", {warned} with a warning in {REPORT}" if warned else "")
