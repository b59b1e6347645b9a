"""EASE and popularity: one shape, so that one graph serves both."""

from dataclasses import dataclass

import numpy as np
from histories import Histories
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from trainkit.limits import Count, Penalty, Variant
from trainkit.params import read_params

Scores = NDArray[np.float32]
NEVER_FADES = 1e9


@dataclass(frozen=True)
class TrainParams:
    """`items` of the catalogue; `ridge` is EASE's L2 penalty; a history of `prior` films halves popularity's weight."""

    variant: Variant
    items: Count
    ridge: Penalty
    prior: Penalty


@dataclass(frozen=True)
class Recommender:
    """`weights` [items, items] (zeros: nobody's taste counts), `popularity` [items] is the share of users, 0 to 1."""

    known: Histories
    weights: NDArray[np.float32]
    popularity: NDArray[np.float32]
    prior: float

    def scores(self, seen: NDArray[np.float32]) -> Scores:
        """[users, items] for histories [users, items]; what was seen is -inf.

        Taste says little after a few films, so popularity fades with the length of the history; with none it is all.
        """
        prior = np.float32(self.prior)
        fading = prior / (prior + seen.sum(axis=1, keepdims=True))
        found = seen @ self.weights + fading * self.popularity
        return np.where(seen > 0, np.float32(-np.inf), found).astype(np.float32)


def train_params() -> TrainParams:
    return read_params("train", TrainParams)


def fitted(known: Histories, params: TrainParams) -> Recommender:
    popularity = known.seen.mean(axis=0, dtype=np.float64).astype(np.float32)
    if params.variant == "baseline":
        size = len(known.items)
        return Recommender(known, np.zeros((size, size), np.float32), popularity, NEVER_FADES)
    return Recommender(known, ease(known.seen, params.ridge), popularity, params.prior)


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
