"""nDCG and recall of the first places of a list, and the interval that so many users allow."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainkit.documents import rounded


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


def summary(prefix: str, found: Quality, top: int, draws: NDArray[np.intp]) -> dict[str, float]:
    """Means over users with 95 percent bootstrap intervals; `draws` is [resamples, users]."""
    values: dict[str, float] = {}
    for name, each in found._asdict().items():
        low, high = np.quantile(each[draws].mean(axis=1), (0.025, 0.975))
        key = f"{prefix}{name}_at_{top}"
        values |= {key: each.mean(), f"{key}_low": low, f"{key}_high": high}
    return {name: rounded(value) for name, value in values.items()}


def gains_over(found: Quality, base: Quality, draws: NDArray[np.intp]) -> Mapping[str, float]:
    """How far above `base`, 0.5 is 50 percent; the interval resamples the same users for both."""
    values: dict[str, float] = {}
    for name in Quality._fields:
        one, other = getattr(found, name), getattr(base, name)
        ratios = one[draws].mean(axis=1) / np.maximum(other[draws].mean(axis=1), 1e-9) - 1
        low, high = np.quantile(ratios, (0.025, 0.975))
        mean = one.mean() / max(other.mean(), 1e-9) - 1
        values |= {f"{name}_gain": mean, f"{name}_gain_low": low, f"{name}_gain_high": high}
    return {name: rounded(value) for name, value in values.items()}
