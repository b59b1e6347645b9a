"""Repeated cross-validation of the forest on distinct rows, and of the baseline on the same folds."""

from dataclasses import replace

from model import ForestParams, forest, params
from schema import DATA, SCHEMA

from trainkit.documents import write_json
from trainkit.params import read_params
from trainkit.scores import Evaluation, beside, classification, out_of_fold
from trainkit.splits import repeated_folds
from trainkit.stage import METRICS, run_stage
from trainkit.table import read_table


def evaluate() -> str:
    chosen = params()
    metrics = beside(measured(chosen), measured(replace(chosen, variant="baseline")))
    write_json(METRICS, metrics)
    interval = f"{metrics['accuracy_low']:.3f} to {metrics['accuracy_high']:.3f}"
    return f"accuracy {metrics['accuracy']:.4f} (95% {interval}), baseline {metrics['baseline_accuracy']:.4f}"


def measured(chosen: ForestParams) -> dict[str, float]:
    table = read_table(DATA, SCHEMA).distinct()
    splits = repeated_folds(table, *read_params("evaluate", Evaluation).as_split())
    return classification(table, [out_of_fold(lambda: forest(chosen), table, split) for split in splits])


if __name__ == "__main__":
    run_stage(evaluate)
