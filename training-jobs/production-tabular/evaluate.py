"""Repeated cross-validation of the regression on distinct rows."""

from model import POSITIVE, regression
from schema import DATA, SCHEMA

from trainkit.documents import write_json
from trainkit.params import read_params
from trainkit.scores import Evaluation, classification, out_of_fold, ranking
from trainkit.splits import repeated_folds
from trainkit.stage import METRICS, run_stage
from trainkit.table import read_table


def evaluate() -> str:
    table = read_table(DATA, SCHEMA).distinct()
    splits = repeated_folds(table, *read_params("evaluate", Evaluation).as_split())
    answers = [out_of_fold(regression, table, split) for split in splits]
    metrics = classification(table, answers) | ranking(table, POSITIVE, answers)
    write_json(METRICS, metrics)
    interval = f"{metrics['roc_auc_low']:.3f} to {metrics['roc_auc_high']:.3f}"
    return f"ROC AUC {metrics['roc_auc']:.4f} (95% {interval}), accuracy {metrics['accuracy']:.4f}"


if __name__ == "__main__":
    run_stage(evaluate)
