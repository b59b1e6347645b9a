"""Refuse ratings that a recommender must not learn from."""

from dataclasses import dataclass

import pandas as pd
import pandera.errors
from plan import Plan
from ratings import DATA, SCHEMA, read_ratings, split_in_time

from trainkit.checks import Finding, refuse_failed
from trainkit.documents import write_json
from trainkit.params import read_params
from trainkit.stage import REPORT, run_stage


@dataclass(frozen=True)
class Limits:
    min_users: int
    min_ratings_per_user: int
    max_item_share: float


def validate() -> str:
    ratings, limits = read_ratings(), read_params("validate", Limits)
    findings = [_finding("schema", schema_fault(ratings))]
    if findings[0].passed:
        findings += table_findings(ratings, limits)
        findings += split_findings(*split_in_time(ratings, read_params("evaluate", Plan).test_share))
    write_json(REPORT, {"rows": len(ratings), "checks": [vars(finding) for finding in findings]})
    refuse_failed(findings, DATA.name)
    return f"{len(ratings)} ratings of {ratings.userId.nunique()} users, {len(findings)} checks passed"


def schema_fault(ratings: pd.DataFrame) -> str | None:
    """Columns, types, ranges, NaN and pairs that are there twice: the first three cases."""
    if lacking := sorted(SCHEMA.columns.keys() - set(ratings.columns)):
        return f"the table lacks {', '.join(lacking)}"
    try:
        SCHEMA.validate(ratings, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases.head(3).itertuples()
        told = [f"{case.column or 'ratings.csv'}: {case.check}, got {case.failure_case}" for case in cases]
        return f"{len(error.failure_cases)} cases, first {'; '.join(told)}"
    return None


def table_findings(ratings: pd.DataFrame, limits: Limits) -> list[Finding]:
    users = ratings.userId.nunique()
    fewest = int(ratings.userId.value_counts().min()) if users else 0
    share = ratings.movieId.value_counts().max() / users if users else 0.0
    few = f"{users} users, at least {limits.min_users} are needed" if users < limits.min_users else None
    short = f"a user has {fewest} ratings, at least {limits.min_ratings_per_user} are needed"
    common = f"a film was rated by a share of {share:.3f} of the users, above {limits.max_item_share}"
    one = "every rating has the same value" if ratings.rating.nunique() < 2 else None
    return [
        _finding("users", few),
        _finding("ratings per user", short if fewest < limits.min_ratings_per_user else None),
        _finding("balance", common if share > limits.max_item_share else None),
        _finding("one value only", one),
    ]


def split_findings(train: pd.DataFrame, test: pd.DataFrame) -> list[Finding]:
    """No test rating is in training, none is older than what its user trained on, and every user has both."""
    pairs = train.merge(test, on=["userId", "movieId"])
    newest, oldest = train.groupby("userId").timestamp.max(), test.groupby("userId").timestamp.min()
    late = int((newest > oldest.reindex(newest.index)).sum())
    alone = set(train.userId) ^ set(test.userId)
    return [
        _finding("split leakage", f"{len(pairs)} ratings are in training and test" if len(pairs) else None),
        _finding(
            "split in time", f"{late} users have test ratings older than training ones" if late else None
        ),
        _finding("split of users", f"{len(alone)} users are in one part only" if alone else None),
    ]


def _finding(check: str, problem: str | None) -> Finding:
    return Finding(check, problem is None, problem or "none found")


if __name__ == "__main__":
    run_stage(validate)
