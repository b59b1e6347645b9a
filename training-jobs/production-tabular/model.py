"""The scaled logistic regression, unfitted."""

from dataclasses import dataclass

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from trainkit.params import read_params

POSITIVE = "malignant"


@dataclass(frozen=True)
class RegressionParams:
    inverse_regularization: float
    seed: int


def regression() -> Pipeline:
    """Section `train` of params.yaml as an estimator."""
    params = read_params("train", RegressionParams)
    last = LogisticRegression(C=params.inverse_regularization, max_iter=1000, random_state=params.seed)
    return make_pipeline(StandardScaler(), last)
