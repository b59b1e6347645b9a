"""How good a model is on rows that it has not seen, with the interval that so few rows allow."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from trainkit.documents import rounded
from trainkit.errors import TrainError
from trainkit.limits import Between, Folds, Seed
from trainkit.splits import Fold, Rows
from trainkit.table import Table

NINETY_FIVE = 1.959964  # standard normal quantile of 97.5 percent
Probabilities = NDArray[np.float64]
METRIC = re.compile(r"[A-Za-z][-A-Za-z0-9_.]{0,62}")  # what gates and MLflow take


@dataclass(frozen=True)
class Evaluation:
    """Section `evaluate` of params.yaml."""

    folds: Folds
    repeats: Annotated[int, Between(1, 1000)]
    seed: Seed

    def as_split(self) -> tuple[int, int, int]:
        return self.folds, self.repeats, self.seed

    def described(self) -> str:
        return (
            f"Stratified {self.folds}-fold cross-validation on distinct rows, {self.repeats} times, seed {self.seed}; "
            f"the served model is fitted on all rows."
        )


def out_of_fold(build: Callable[[], Any], table: Table, folds: Sequence[Fold]) -> Probabilities:
    """[rows, classes in sorted order]: each row is answered by the model that was not shown it."""
    answers = np.empty((len(table), len(np.unique(table.labels))))
    # In float64, as train.py fits: the sums of float32 features would stop a solver early.
    features = table.features.astype(np.float64)
    for train, test in folds:
        model = build().fit(features[train], table.labels[train])
        answers[test] = model.predict_proba(features[test])
    return answers


def classification(table: Table, repeats: Sequence[Probabilities]) -> dict[str, float]:
    """Means over repeated cross-validation; the interval is Wilson's for the number of rows, not of repeats."""
    classes = np.unique(table.labels)
    hits = np.mean([classes[answer.argmax(axis=1)] == table.labels for answer in repeats], axis=0)
    accuracy = float(hits.mean())
    low, high = wilson(accuracy, len(table))
    recalls = {f"recall_{name}": float(hits[table.labels == name].mean()) for name in classes}
    losses = float(np.mean([log_loss(table, answer) for answer in repeats]))
    found = {"accuracy": accuracy, "accuracy_low": low, "accuracy_high": high, "log_loss": losses, **recalls}
    return {name: rounded(value) for name, value in found.items()}


def beside(metrics: Mapping[str, float], baseline: Mapping[str, float]) -> dict[str, float]:
    """The metrics of the variant that is trained, and the baseline's on the same rows as `baseline_<name>`."""
    return {**metrics, **{f"baseline_{name}": value for name, value in baseline.items()}}


def log_loss(table: Table, answers: Probabilities) -> float:
    """Natural logarithm; a probability of 0 counts as 1e-3, so that one leaf does not make it infinite."""
    own = answers[np.arange(len(table)), np.searchsorted(np.unique(table.labels), table.labels)]
    return float(-np.log(np.clip(own, 1e-3, 1)).mean())


def ranking(table: Table, positive: str, repeats: Sequence[Probabilities]) -> dict[str, float]:
    """ROC AUC (with Hanley and McNeil's interval) and Brier score of the class `positive`."""
    truth = table.labels == positive
    column = int(np.searchsorted(np.unique(table.labels), positive))
    area = float(np.mean([roc_auc(truth, answer[:, column]) for answer in repeats]))
    brier = float(np.mean([np.square(answer[:, column] - truth).mean() for answer in repeats]))
    low, high = _auc_interval(area, int(truth.sum()), int((~truth).sum()))
    found = {"roc_auc": area, "roc_auc_low": low, "roc_auc_high": high, "brier": brier}
    return {name: rounded(value) for name, value in found.items()}


def roc_auc(truth: NDArray[np.bool_], score: Probabilities) -> float:
    """The share of (positive, negative) pairs in the right order; a tie counts half."""
    positive, negative = np.sort(score[truth]), np.sort(score[~truth])
    below = np.searchsorted(negative, positive, side="left").sum()
    upto = np.searchsorted(negative, positive, side="right").sum()
    return float((below + upto) / 2 / (len(positive) * len(negative)))


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 percent score interval of a share of `count` rows."""
    square = NINETY_FIVE**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    spread = share * (1 - share) / count + square / (4 * count**2)
    half = NINETY_FIVE * spread**0.5 / (1 + square / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def _auc_interval(area: float, positives: int, negatives: int) -> tuple[float, float]:
    """Hanley and McNeil, Radiology 143 (1982), equation 1."""
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positives - 1) * (one - area**2) + (negatives - 1) * (two - area**2)
    half = NINETY_FIVE * (variance / (positives * negatives)) ** 0.5
    return max(0.0, area - half), min(1.0, area + half)


@dataclass(frozen=True)
class Bootstrap:
    """Percentile intervals of 95 percent by resampling the test rows (or users, or series), the same for every metric.

    A statistic takes row numbers, some of them several times, and gives the metric of these rows.
    """

    rows: int
    seed: int
    times: int = 1000

    def interval(self, statistic: Callable[[Rows], float]) -> tuple[float, float]:
        """Resamples on which the statistic is not a number, for want of a class, do not count."""
        random = np.random.default_rng(self.seed)
        found = np.array([statistic(random.integers(0, self.rows, self.rows)) for _ in range(self.times)])
        if not np.isfinite(found).any():
            raise TrainError(
                f"no resample of {self.rows} rows gives a number: are there enough rows of each class?"
            )
        low, high = np.quantile(found[np.isfinite(found)], (0.025, 0.975))
        return float(low), float(high)

    def scored(self, name: str, statistic: Callable[[Rows], float]) -> dict[str, float]:
        """`name` on all rows, with `name_low` and `name_high`."""
        low, high = self.interval(statistic)
        found = {name: statistic(np.arange(self.rows)), f"{name}_low": low, f"{name}_high": high}
        return {key: rounded(value) for key, value in found.items()}

    def means(self, each: Mapping[str, NDArray[Any]], prefix: str = "") -> dict[str, float]:
        """Of metrics that are means over rows: `each` has one value a row."""
        found: dict[str, float] = {}
        for name, values in each.items():
            found |= self.scored(prefix + name, lambda rows, values=values: float(values[rows].mean()))  # type: ignore[misc]
        return found


def slices(
    name: str, column: Sequence[object] | NDArray[Any], metrics: Callable[[Rows], Mapping[str, float]]
) -> dict[str, float]:
    """Metrics of the rows of each value of a column: `slice_<name>_<value>_<metric>`, and `..._rows`, their number.

    Flat, because MLflow logs and gates read them by name; TrainError if two values give one name, or one too long.
    """
    values, found = np.array([_word(value) for value in column]), dict[str, float]()
    if len(set(values)) != len({str(value) for value in column}):
        raise TrainError(f"slices of {name}: two values are one name without their signs; rename them")
    for value in np.unique(values):
        rows = np.flatnonzero(values == value)
        for metric, number in {"rows": float(len(rows)), **metrics(rows)}.items():
            found[_metric_name(f"slice_{name}_{value}_{metric}")] = rounded(number)
    return found


def _word(value: object) -> str:
    return re.sub(r"[^-A-Za-z0-9.]+", "_", str(value)).strip("_")


def _metric_name(name: str) -> str:
    if METRIC.fullmatch(name) is None:
        raise TrainError(
            f"metric {name!r}: use up to 63 of A-Z a-z 0-9 _ . -; shorten the slice's name or value"
        )
    return name
