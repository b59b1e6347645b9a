"""nDCG and recall of the first places of a list, and the interval that so many users allow."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainkit.scores import Bootstrap


class Quality(NamedTuple):
    """One value a user, [users], in 0..1."""

    ndcg: NDArray[np.float64]
    recall: NDArray[np.float64]


def top_items(scores: NDArray[np.float32], seen: NDArray[np.float32], top: int) -> NDArray[np.intp]:
    """[users, top] columns, best first, never one that was seen; of equal scores the lower column is first."""
    return np.argsort(np.where(seen > 0, np.inf, -scores), axis=1, kind="stable")[:, :top]


def quality(lists: NDArray[np.int64], truth: Sequence[frozenset[int]]) -> Quality:
    """Binary relevance. Recall is hits by min(top, relevant), so that 1 can be reached (Liang et al., WWW 2018)."""
    top = lists.shape[1]
    gains = 1 / np.log2(np.arange(2, top + 2))
    hits = np.array(
        [[item in wanted for item in row] for row, wanted in zip(lists.tolist(), truth, strict=True)]
    )
    reachable = np.array([min(top, len(wanted)) for wanted in truth])
    return Quality(hits @ gains / np.cumsum(gains)[reachable - 1], hits.sum(axis=1) / reachable)


def summary(prefix: str, found: Quality, top: int, bootstrap: Bootstrap) -> dict[str, float]:
    """Means over users with their intervals."""
    return bootstrap.means({f"{name}_at_{top}": each for name, each in found._asdict().items()}, prefix)


def gains_over(found: Quality, base: Quality, bootstrap: Bootstrap) -> dict[str, float]:
    """How far above `base`, 0.5 is 50 percent; the interval resamples the same users for both."""
    values: dict[str, float] = {}
    for name in Quality._fields:
        one, other = getattr(found, name), getattr(base, name)
        values |= bootstrap.scored(
            f"{name}_gain", lambda rows, one=one, other=other: _gain(one[rows], other[rows])
        )
    return values


def _gain(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(one.mean() / max(other.mean(), 1e-9) - 1)
