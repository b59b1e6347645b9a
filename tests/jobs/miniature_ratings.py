"""A data set of the recommender's schema: two tastes, so that what a user saw says what they will see."""

import io

import numpy as np
import pandas as pd

USERS, FILMS, EACH = 120, 90, 20


def ratings(seed: int = 7) -> pd.DataFrame:
    """Odd users prefer films below the middle, even ones the others; a few films everybody likes a little."""
    random = np.random.default_rng(seed)
    rows = []
    for user in range(1, USERS + 1):
        weight = np.ones(FILMS)
        half = slice(0, FILMS // 2) if user % 2 else slice(FILMS // 2, FILMS)
        weight[half] += 9
        weight[::9] += 3
        films = random.choice(FILMS, EACH, replace=False, p=weight / weight.sum())
        times = 1_000_000_000 + user * 100 + np.arange(EACH)
        rows += [
            (user, int(film) + 1, random.integers(1, 11) / 2, int(t))
            for film, t in zip(films, times, strict=True)
        ]
    return pd.DataFrame(rows, columns=["userId", "movieId", "rating", "timestamp"])


def csv(table: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    table.to_csv(out, index=False)
    return out.getvalue()
