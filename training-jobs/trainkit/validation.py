"""The validate stage that jobs share: a table that fails one check is one that no model may learn from."""

from pathlib import Path

from trainkit.checks import Limits, as_report, check_split, check_table, refuse_failed
from trainkit.documents import write_json
from trainkit.params import read_params
from trainkit.scores import Evaluation
from trainkit.splits import repeated_folds
from trainkit.stage import REPORT
from trainkit.table import Schema, read_table


def validated(data: Path, schema: Schema) -> str:
    """Check schema, ranges, labels, balance and the splits that evaluation will make; write the report.

    Raises TrainError with every check that failed; the report is written all the same.
    """
    table = read_table(data, schema)
    findings = check_table(table, schema, read_params("validate", Limits))
    tested, plan = table.distinct(), read_params("evaluate", Evaluation)
    findings += [check_split(tested, split) for split in repeated_folds(tested, *plan.as_split())]
    write_json(REPORT, as_report(findings, table))
    refuse_failed(findings, data.name)
    return f"{len(table)} rows, {len(findings)} checks passed"
