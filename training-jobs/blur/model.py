"""What scores features: a line alone (baseline), or a line and a support vector machine together (advanced)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from trainkit.limits import Penalty, Seed, Variant

Floats = NDArray[np.float64]
VARIANCE, LOG_VARIANCE = 0, 1  # columns of the features: in grey levels squared, and its logarithm
KERNEL_WEIGHT = (
    2.0  # a margin of the machine is worth two of log-odds: the best Brier score in cross-validation
)


@dataclass(frozen=True)
class TrainParams:
    variant: Variant
    ridge: Penalty
    softness: Penalty
    seed: Seed


@dataclass(frozen=True)
class Kernel:
    """margin(x) = coefficients . exp(-gamma |x - support|^2) + bias, x standardised."""

    support: Floats
    coefficients: Floats
    gamma: float
    bias: float


@dataclass(frozen=True)
class Scorer:
    """Log-odds of being blurred: (x - mean) / scale, then `weights` and, if there is one, the kernel."""

    mean: Floats
    scale: Floats
    weights: Floats
    bias: float
    kernel: Kernel | None = None

    def scores(self, features: NDArray[np.float32]) -> Floats:
        """Probability of blurred, [rows]."""
        points = (features.astype(np.float64) - self.mean) / self.scale
        odds = points @ self.weights + self.bias
        if self.kernel is not None:
            odds = (odds + KERNEL_WEIGHT * _margins(self.kernel, points)) / 2
        return 1 / (1 + np.exp(-odds))


def fitted(params: TrainParams, features: NDArray[np.float32], labels: NDArray[np.int8]) -> Scorer:
    if params.variant == "baseline":
        return threshold(features, labels)
    return _advanced(params, features.astype(np.float64), labels)


def threshold(features: NDArray[np.float32], labels: NDArray[np.int8]) -> Scorer:
    """The one threshold on the variance of the Laplacian that is most often right; a logistic slope around it."""
    column = features[:, LOG_VARIANCE].astype(np.float64)
    values = np.unique(column)
    middles = (values[1:] + values[:-1]) / 2
    best = middles[np.argmax([((column < middle) == labels).mean() for middle in middles])]
    slope = LogisticRegression(C=1e6).fit(column[:, None], labels).coef_[0, 0]
    zeros, weights = np.zeros(features.shape[1]), np.zeros(features.shape[1])
    weights[LOG_VARIANCE] = slope
    return Scorer(zeros, np.ones_like(zeros), weights, float(-slope * best))


def _advanced(params: TrainParams, features: Floats, labels: NDArray[np.int8]) -> Scorer:
    line = _standardised(LogisticRegression(C=params.ridge, max_iter=3000)).fit(features, labels)
    machine = _standardised(SVC(C=params.softness, random_state=params.seed)).fit(features, labels)
    scaler, svc = machine[0], machine[1]
    kernel = Kernel(svc.support_vectors_, svc.dual_coef_[0], float(svc._gamma), float(svc.intercept_[0]))
    return Scorer(scaler.mean_, scaler.scale_, line[1].coef_[0], float(line[1].intercept_[0]), kernel)


def _standardised(estimator: LogisticRegression | SVC) -> Pipeline:
    return make_pipeline(StandardScaler(), estimator)


def _margins(kernel: Kernel, points: Floats) -> Floats:
    square = (
        (points**2).sum(axis=1)[:, None] + (kernel.support**2).sum(axis=1) - 2 * points @ kernel.support.T
    )
    return np.exp(-kernel.gamma * square) @ kernel.coefficients + kernel.bias
