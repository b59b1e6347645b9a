"""EASE and popularity: one shape, so that one graph serves both."""

from dataclasses import dataclass

import numpy as np
from histories import Histories
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from trainkit.errors import TrainError
from trainkit.params import read_params

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class TrainParams:
    """`items` of the catalogue; `ridge` is EASE's L2 penalty."""

    variant: str
    items: int
    ridge: float


@dataclass(frozen=True)
class Recommender:
    """`weights` [items, items] (zeros: nobody's taste counts), `popularity` [items] is the share of users, 0 to 1."""

    known: Histories
    weights: NDArray[np.float32]
    popularity: NDArray[np.float32]

    def scores(self, seen: NDArray[np.float32]) -> Scores:
        """[users, items] for histories [users, items]; popularity for who has none; what was seen is -inf."""
        cold = ~(seen @ self.weights).any(axis=1, keepdims=True)
        found = np.where(cold, self.popularity, seen @ self.weights)
        return np.where(seen > 0, np.float32(-np.inf), found).astype(np.float32)


def train_params() -> TrainParams:
    params = read_params("train", TrainParams)
    if params.variant not in ("advanced", "baseline"):
        raise TrainError(f"params.yaml: train.variant is {params.variant!r}; write advanced or baseline")
    for name, value in (("items", params.items), ("ridge", params.ridge)):
        if value <= 0:
            raise TrainError(f"params.yaml: train.{name} is {value}; write a number above 0")
    return params


def fitted(known: Histories, variant: str, ridge: float) -> Recommender:
    popularity = known.seen.mean(axis=0, dtype=np.float64).astype(np.float32)
    size = len(known.items)
    weights = ease(known.seen, ridge) if variant == "advanced" else np.zeros((size, size), np.float32)
    return Recommender(known, weights, popularity)


def ease(seen: NDArray[np.float32], ridge: float) -> NDArray[np.float32]:
    """The item weights of EASE, in closed form (Steck, Embarrassingly Shallow Autoencoders, WWW 2019, equation 8).

    One thread: more of them would sum in an order that changes from run to run.
    """
    with threadpool_limits(limits=1):
        gram = (seen.T @ seen).astype(np.float64)
        gram[np.diag_indices_from(gram)] += ridge
        inverse = np.linalg.inv(gram)
    weights = inverse / -np.diag(inverse)
    weights[np.diag_indices_from(weights)] = 0
    return weights.astype(np.float32)
