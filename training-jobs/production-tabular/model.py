"""The two classifiers, unfitted: boosted trees, and the scaled logistic regression they are measured against."""

from dataclasses import dataclass
from typing import Annotated, Any

from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trainkit.limits import Between, Depth, Penalty, Rate, Seed, Trees, Variant
from trainkit.params import read_params

POSITIVE = "malignant"


@dataclass(frozen=True)
class TrainParams:
    """The four after `variant` are the advanced one's, `inverse_regularization` is the baseline's."""

    variant: Variant
    n_estimators: Trees
    max_depth: Depth
    learning_rate: Rate
    subsample: Annotated[float, Between(0.01, 1)]
    inverse_regularization: Penalty
    seed: Seed


def params() -> TrainParams:
    return read_params("train", TrainParams)


def classifier(chosen: TrainParams) -> Any:
    """Section `train` of params.yaml as an estimator."""
    if chosen.variant == "baseline":
        last = LogisticRegression(C=chosen.inverse_regularization, max_iter=1000, random_state=chosen.seed)
        return make_pipeline(StandardScaler(), last)
    return GradientBoostingClassifier(
        n_estimators=chosen.n_estimators,
        max_depth=chosen.max_depth,
        learning_rate=chosen.learning_rate,
        subsample=chosen.subsample,
        random_state=chosen.seed,
    )
