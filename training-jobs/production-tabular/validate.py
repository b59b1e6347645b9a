"""Refuse data that the model must not learn from."""

from schema import DATA, SCHEMA

from trainkit.checks import Limits, as_report, check_split, check_table, refuse_failed
from trainkit.documents import write_json
from trainkit.params import read_params
from trainkit.scores import Evaluation
from trainkit.splits import repeated_folds
from trainkit.stage import REPORT, run_stage
from trainkit.table import read_table


def validate() -> str:
    table = read_table(DATA, SCHEMA)
    findings = check_table(table, SCHEMA, read_params("validate", Limits))
    tested, plan = table.distinct(), read_params("evaluate", Evaluation)
    findings += [check_split(tested, split) for split in repeated_folds(tested, *plan.as_split())]
    write_json(REPORT, as_report(findings, table))
    refuse_failed(findings, DATA.name)
    return f"{len(table)} rows, {len(findings)} checks passed"


if __name__ == "__main__":
    run_stage(validate)
