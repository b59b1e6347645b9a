"""Who rated what, as a matrix of ones: the implicit feedback that every recommender here learns from."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class Histories:
    """`seen` is float32 [users, items], 1 where the user rated the film; ids are sorted."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    seen: NDArray[np.float32]


def histories(ratings: pd.DataFrame, most: int) -> Histories:
    """Of the `most` rated films; the rest of the ratings is left out."""
    return histories_of(ratings, np.unique(ratings.userId.to_numpy()), catalogue(ratings, most))


def histories_of(ratings: pd.DataFrame, users: NDArray[np.int64], items: NDArray[np.int64]) -> Histories:
    """What these users rated of these films; both sorted."""
    kept = ratings[np.isin(ratings.movieId, items)]
    seen = np.zeros((len(users), len(items)), np.float32)
    seen[np.searchsorted(users, kept.userId), np.searchsorted(items, kept.movieId)] = 1
    return Histories(users, items, seen)


def catalogue(ratings: pd.DataFrame, most: int) -> NDArray[np.int64]:
    """Ids of the most rated films, sorted; of equally often rated ones the lower id is in."""
    items, counts = np.unique(ratings.movieId.to_numpy(), return_counts=True)
    return np.sort(items[np.argsort(-counts, kind="stable")[:most]])
