"""Repeated cross-validation of the classifier on distinct rows, and of the baseline on the same folds."""

from dataclasses import replace

from model import POSITIVE, TrainParams, classifier, params
from schema import DATA, SCHEMA

from trainkit.documents import write_json
from trainkit.params import read_params
from trainkit.scores import Evaluation, beside, classification, out_of_fold, ranking
from trainkit.splits import repeated_folds
from trainkit.stage import METRICS, run_stage
from trainkit.table import read_table


def evaluate() -> str:
    chosen = params()
    metrics = beside(measured(chosen), measured(replace(chosen, variant="baseline")))
    write_json(METRICS, metrics)
    interval = f"{metrics['roc_auc_low']:.3f} to {metrics['roc_auc_high']:.3f}"
    return f"ROC AUC {metrics['roc_auc']:.4f} (95% {interval}), baseline {metrics['baseline_roc_auc']:.4f}"


def measured(chosen: TrainParams) -> dict[str, float]:
    table = read_table(DATA, SCHEMA).distinct()
    splits = repeated_folds(table, *read_params("evaluate", Evaluation).as_split())
    answers = [out_of_fold(lambda: classifier(chosen), table, split) for split in splits]
    return classification(table, answers) | ranking(table, POSITIVE, answers)


if __name__ == "__main__":
    run_stage(evaluate)
