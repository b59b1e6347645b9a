"""What a row of ratings.csv is, and the split of each user's history in time."""

from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from trainkit.frames import read_frame

DATA = Path("data/ratings.csv")
SCHEMA = pa.DataFrameSchema(
    {
        "userId": pa.Column("int64", pa.Check.ge(1)),
        "movieId": pa.Column("int64", pa.Check.ge(1)),
        "rating": pa.Column("float64", pa.Check.isin([half / 2 for half in range(1, 11)])),
        "timestamp": pa.Column("int64", pa.Check.in_range(788_918_400, 4_102_444_800)),  # 1995 to 2100
    },
    unique=["userId", "movieId"],
    strict=True,
)


def read_ratings(path: Path = DATA) -> pd.DataFrame:
    """userId, movieId, rating, timestamp (seconds since 1970), as the file has them; TrainError if it is no table."""
    return read_frame(path)


def split_in_time(ratings: pd.DataFrame, test_share: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and test: of each user the newest `test_share` of the ratings is test, ties by film."""
    ordered = ratings.sort_values(["userId", "timestamp", "movieId"], ignore_index=True)
    by_user = ordered.groupby("userId").movieId
    tested = by_user.cumcount() >= by_user.transform("size") * (1 - test_share)
    return ordered[~tested], ordered[tested]
