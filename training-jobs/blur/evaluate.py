"""The variant and the baseline on the test photographs, none of whose scenes was in training."""

from dataclasses import dataclass

import numpy as np
from model import TrainParams, fitted, threshold
from numpy.typing import NDArray
from photographs import TEST, TRAIN, features, read_photographs
from sklearn.model_selection import StratifiedGroupKFold

from trainkit.documents import rounded, write_json
from trainkit.limits import Folds, Seed
from trainkit.params import read_params
from trainkit.scores import roc_auc, wilson
from trainkit.splits import check_folds
from trainkit.stage import METRICS, load_model, run_stage

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    folds: Folds
    seed: Seed


def evaluate() -> str:
    train, test = read_photographs(TRAIN), read_photographs(TEST)
    seen, unseen = features(train, TRAIN.name), features(test, TEST.name)
    baseline = threshold(seen, train.labels).scores(unseen)
    metrics = {
        **measured(test.labels, load_model().scores(unseen)),
        **{f"baseline_{name}": value for name, value in measured(test.labels, baseline).items()},
        "cross_validated_accuracy": _cross_validated(seen, train.labels, train.scenes),
    }
    write_json(METRICS, {name: rounded(value) for name, value in metrics.items()})
    interval = f"{metrics['accuracy_low']:.3f} to {metrics['accuracy_high']:.3f}"
    return f"accuracy {metrics['accuracy']:.4f} (95% {interval}), baseline {metrics['baseline_accuracy']:.4f}"


def measured(labels: NDArray[np.int8], scores: Floats) -> dict[str, float]:
    hits = (scores > 0.5) == labels
    low, high = wilson(float(hits.mean()), len(labels))
    return {
        "accuracy": float(hits.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "roc_auc": roc_auc(labels == 1, scores),
        "brier": float(np.square(scores - labels).mean()),
        "recall_blurred": float(hits[labels == 1].mean()),
        "recall_sharp": float(hits[labels == 0].mean()),
    }


def _cross_validated(
    points: NDArray[np.float32], labels: NDArray[np.int8], scenes: NDArray[np.int16]
) -> float:
    params, plan = read_params("train", TrainParams), read_params("evaluate", Evaluation)
    check_folds(plan.folds, len(np.unique(scenes)))
    folds = StratifiedGroupKFold(plan.folds, shuffle=True, random_state=plan.seed)
    hits = np.zeros(len(labels), bool)
    for train, held in folds.split(points, labels, scenes):
        scores = fitted(params, points[train], labels[train]).scores(points[held])
        hits[held] = (scores > 0.5) == labels[held]
    return float(hits.mean())


if __name__ == "__main__":
    run_stage(evaluate)
