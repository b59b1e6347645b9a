"""Refuse ratings that a recommender must not learn from."""

from dataclasses import dataclass

import pandas as pd
from plan import evaluation
from ratings import DATA, SCHEMA, read_ratings, split_in_time

from trainkit.checks import Finding, finding
from trainkit.frames import checked
from trainkit.limits import Count, Share
from trainkit.params import read_params
from trainkit.stage import run_stage
from trainkit.validation import reported


@dataclass(frozen=True)
class Limits:
    min_users: Count
    min_ratings_per_user: Count
    max_item_share: Share


def validate() -> str:
    ratings, limits = read_ratings(), read_params("validate", Limits)
    findings = checked(ratings, SCHEMA)
    if all(found.passed for found in findings):
        findings += table_findings(ratings, limits)
        findings += split_findings(*split_in_time(ratings, evaluation().test_share))
    passed = reported(findings, DATA.name, rows=len(ratings))
    return f"{len(ratings)} ratings of {ratings.userId.nunique()} users, {passed}"


def table_findings(ratings: pd.DataFrame, limits: Limits) -> list[Finding]:
    users = ratings.userId.nunique()
    fewest = int(ratings.userId.value_counts().min()) if users else 0
    share = ratings.movieId.value_counts().max() / users if users else 0.0
    few = f"{users} users, at least {limits.min_users} are needed" if users < limits.min_users else None
    short = f"a user has {fewest} ratings, at least {limits.min_ratings_per_user} are needed"
    common = f"a film was rated by a share of {share:.3f} of the users, above {limits.max_item_share}"
    one = "every rating has the same value" if ratings.rating.nunique() < 2 else None
    return [
        finding("users", few),
        finding("ratings per user", short if fewest < limits.min_ratings_per_user else None),
        finding("balance", common if share > limits.max_item_share else None),
        finding("one value only", one),
    ]


def split_findings(train: pd.DataFrame, test: pd.DataFrame) -> list[Finding]:
    """No test rating is in training, none is older than what its user trained on, and every user has both."""
    pairs = train.merge(test, on=["userId", "movieId"])
    newest, oldest = train.groupby("userId").timestamp.max(), test.groupby("userId").timestamp.min()
    late = int((newest > oldest.reindex(newest.index)).sum())
    alone = set(train.userId) ^ set(test.userId)
    return [
        finding("split leakage", f"{len(pairs)} ratings are in training and test" if len(pairs) else None),
        finding(
            "split in time", f"{late} users have test ratings older than training ones" if late else None
        ),
        finding("split of users", f"{len(alone)} users are in one part only" if alone else None),
    ]


if __name__ == "__main__":
    run_stage(validate)
