"""Shapley values of a row's features, exact: every coalition is asked about, over every row of the background.

The interventional ones of Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions" (2017), after
Shapley, "A Value for n-Person Games" (1953).
"""

from math import factorial

import numpy as np

from v2serve.tensors import Array


class Shapley:
    """For `background` [rows, features]; a row needs 2^features * rows answers."""

    def __init__(self, background: Array) -> None:
        features = background.shape[1]
        self._background = background
        self._members = (np.arange(1 << features)[:, None] >> np.arange(features)) & 1 == 1
        self._weights = _weights(self._members)

    @property
    def asked(self) -> int:
        """Answers that a row needs."""
        return len(self._members) * len(self._background)

    def questions(self, row: Array) -> Array:
        """[coalitions * rows, features]: `row` where a feature is of the coalition, the background where not."""
        mixed = np.where(self._members[:, None, :], row, self._background)
        return mixed.reshape(-1, row.shape[0])

    def values(self, answers: Array) -> tuple[Array, float]:
        """[features], and the mean answer over the background; together they are the answer to the row itself."""
        worth = answers.astype(np.float64).reshape(len(self._members), -1).mean(axis=1)
        return self._weights @ worth, float(worth[0])


def _weights(members: Array) -> Array:
    """[features, coalitions]: how much a coalition's worth counts for a feature, negative where it is without it."""
    features = members.shape[1]
    sizes = members.sum(axis=1)
    orders = [factorial(size) * factorial(features - size - 1) for size in range(features)]
    share = np.array(orders, np.float64) / factorial(features)
    joined = np.where(members, share[sizes[:, None] - 1], 0.0)
    apart = np.where(members, 0.0, share[np.minimum(sizes, features - 1)[:, None]])
    weights: Array = (joined - apart).T
    return weights
