"""Repeated cross-validation of the forest on distinct rows."""

from model import forest
from schema import DATA, SCHEMA

from trainkit.documents import write_json
from trainkit.params import read_params
from trainkit.scores import Evaluation, classification, out_of_fold
from trainkit.splits import repeated_folds
from trainkit.stage import METRICS, run_stage
from trainkit.table import read_table


def evaluate() -> str:
    table = read_table(DATA, SCHEMA).distinct()
    splits = repeated_folds(table, *read_params("evaluate", Evaluation).as_split())
    metrics = classification(table, [out_of_fold(forest, table, split) for split in splits])
    write_json(METRICS, metrics)
    interval = f"{metrics['accuracy_low']:.3f} to {metrics['accuracy_high']:.3f}"
    return f"accuracy {metrics['accuracy']:.4f} (95% {interval}), log loss {metrics['log_loss']:.4f}"


if __name__ == "__main__":
    run_stage(evaluate)
