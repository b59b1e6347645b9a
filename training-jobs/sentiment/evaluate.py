"""The graph that will be served, the same in float32, and the baseline, on the test texts."""

import numpy as np
from asked import ExportParams, asked
from graph import Trained, sentiment_graph
from numpy.typing import NDArray
from texts import TEST, Texts, read_texts
from variant import TrainParams

from trainkit.documents import rounded, write_json
from trainkit.params import read_params
from trainkit.scores import roc_auc, wilson
from trainkit.stage import METRICS, load_model, run_stage


def evaluate() -> str:
    params, small = read_params("train", TrainParams), read_params("export", ExportParams).small()
    model, test = load_model(), read_texts(TEST)
    exact = asked(sentiment_graph(model, small=False), model, test, params.length)
    served = asked(sentiment_graph(model, small), model, test, params.length) if small else exact
    metrics = {
        **measured(test, served.scores),
        **{f"baseline_{name}": value for name, value in measured(test, _baseline(model, test)).items()},
        "float32_accuracy": measured(test, exact.scores)["accuracy"],
        "largest_shift_of_weights": float(np.abs(served.scores - exact.scores).max()),
    }
    write_json(METRICS, {name: rounded(value) for name, value in metrics.items()})
    return (
        f"accuracy {metrics['accuracy']:.4f} (95% {metrics['accuracy_low']:.3f} to {metrics['accuracy_high']:.3f}), "
        f"{served.milliseconds:.1f} ms a text; float32 {metrics['float32_accuracy']:.4f}, {exact.milliseconds:.1f} ms; "
        f"baseline {metrics['baseline_accuracy']:.4f}"
    )


def measured(test: Texts, scores: NDArray[np.float64]) -> dict[str, float]:
    hits = (scores > 0.5) == (test.labels == 1)
    low, high = wilson(float(hits.mean()), len(test))
    return {
        "accuracy": float(hits.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "roc_auc": roc_auc(test.labels == 1, scores),
        "brier": float(np.square(scores - test.labels).mean()),
        "recall_positive": float(hits[test.labels == 1].mean()),
        "recall_negative": float(hits[test.labels == 0].mean()),
    }


def _baseline(model: Trained, test: Texts) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-model.words.odds(test.texts))))


if __name__ == "__main__":
    run_stage(evaluate)
