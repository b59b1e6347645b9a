"""The second baseline: alternating least squares (Hu, Koren, Volinsky 2008) by the package implicit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits


@dataclass(frozen=True)
class AlsParams:
    """`weight` is how much more a seen film counts than an unseen one."""

    factors: int
    ridge: float
    weight: float
    iterations: int
    seed: int


def als_scores(seen: NDArray[np.float32], params: AlsParams) -> NDArray[np.float32]:
    """[users, items] for the users that it was fitted on."""
    from implicit.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    with threadpool_limits(limits=1, user_api="blas"):
        model = AlternatingLeastSquares(
            factors=params.factors,
            regularization=params.ridge,
            alpha=params.weight,
            iterations=params.iterations,
            random_state=params.seed,
            num_threads=1,
            use_gpu=False,
        )
        model.fit(csr_matrix(seen), show_progress=False)
        return np.asarray(model.user_factors @ model.item_factors.T, np.float32)
