"""Accuracy on the test images, of the graph that is served and of the baseline, class by class."""

from dataclasses import dataclass

import numpy as np
import torch
from converted import answered, read_conversion
from images import CLASSES, load_images
from learner import load_network, probabilities
from numpy.typing import NDArray
from recipe import Train, baseline
from train import WEIGHTS

from trainkit.documents import rounded, write_json
from trainkit.limits import Batch
from trainkit.params import read_params
from trainkit.scores import wilson
from trainkit.stage import METRICS, run_stage


@dataclass(frozen=True)
class Evaluation:
    """Section `evaluate` of params.yaml: images at once."""

    batch: Batch


def evaluate() -> str:
    params, test = read_params("train", Train), load_images("test")
    torch.set_num_threads(params.threads)
    batch = read_params("evaluate", Evaluation).batch
    plain = load_network(baseline(params.label_smoothing), WEIGHTS["baseline"])
    found = scores(answered(read_conversion().graph, test, batch), test.labels)
    compared = scores(probabilities(plain, test, batch), test.labels)
    metrics = found | {f"baseline_{name}": value for name, value in compared.items() if "recall" not in name}
    write_json(METRICS, {name: rounded(value) for name, value in metrics.items()})
    interval = f"{found['accuracy_low']:.4f} to {found['accuracy_high']:.4f}"
    return f"accuracy {found['accuracy']:.4f} (95% {interval}), baseline {compared['accuracy']:.4f}"


def scores(answers: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """Intervals are Wilson's; `calibration_error` is expected calibration error in ten bins."""
    hits = answers.argmax(axis=1) == labels
    low, high = wilson(float(hits.mean()), len(hits))
    own = np.clip(answers[np.arange(len(labels)), labels].astype(np.float64), 1e-9, 1)
    recalls = {f"recall_{name}": float(hits[labels == at].mean()) for at, name in enumerate(CLASSES)}
    return {
        "accuracy": float(hits.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "log_loss": float(-np.log(own).mean()),
        "calibration_error": calibration_error(answers.max(axis=1), hits),
        **recalls,
    }


def calibration_error(confidence: NDArray[np.float32], hits: NDArray[np.bool_]) -> float:
    """How far confidence is from accuracy, on the average over ten bins weighted by their rows."""
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = [
        abs(hits[bins == at].mean() - confidence[bins == at].mean()) * (bins == at).mean() for at in set(bins)
    ]
    return float(np.sum(gaps))


if __name__ == "__main__":
    run_stage(evaluate)
