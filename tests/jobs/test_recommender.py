"""The recommender, from ratings to the answers of its artifact, on a miniature with two tastes."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.jobs.conftest import ROOT, Run, checkout
from tests.jobs.job_modules import Import, job_alone, modules_of, refused, with_data, with_params
from tests.jobs.miniature_ratings import EACH, FILMS, USERS, csv, ratings
from trainkit.errors import TrainError
from v2serve.artifact import verify
from v2serve.call import Call
from v2serve.model import Runtime
from v2serve.observe.reference import load_reference
from v2serve.pipeline import BadInput, Pipeline, load_pipeline


@pytest.fixture
def imported() -> Iterator[Import]:
    with modules_of("recommender") as get:
        yield get


def miniature(root: Path, table: pd.DataFrame | None = None) -> Path:
    """The job's folder below `root`, a checkout or a copy of the job alone, with tiny parameters."""
    job = with_data(root, "recommender", {"ratings.csv": csv(ratings() if table is None else table)})
    with_params(
        job,
        validate={"min_users": 50},
        train={"items": 80, "ridge": 20.0, "prior": 1.0},
        evaluate={"als_factors": 4, "als_iterations": 3, "resamples": 100},
    )
    return job


def refusal(run: Run, job: Path, *words: str) -> str:
    done = run(job, *words)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact that train and export made; its metrics are of no consequence here."""
    from tests.jobs.conftest import run as fixture

    run = fixture.__wrapped__(tmp_path_factory.mktemp("recommender"), tmp_path_factory)  # type: ignore[attr-defined]
    job = miniature(checkout(tmp_path_factory.mktemp("jobs") / "clone"))
    (job / "metrics.json").write_text('{"ndcg_at_10": 0.5}', encoding="utf-8")
    for stage in ("validate.py", "train.py", "export.py"):
        done = run(job, stage)
        assert done.returncode == 0, done.stderr
    return job / "artifact"


@pytest.fixture(scope="module")
def answers(made: Path) -> Pipeline:
    return load_pipeline(made, "recommender", Runtime())


def ask(
    pipeline: Pipeline, user: list[int], seen: list[list[int]] | None = None, **more: Any
) -> dict[str, Any]:
    feeds = {"user": np.array(user, np.int64)}
    if seen is not None:
        feeds["seen"] = np.array(seen, np.int64).reshape(len(seen), -1)
    specs = list(pipeline.contract.outputs)
    found = pipeline.run(Call(feeds, specs, "test", more))
    return {spec.name: values for spec, values in zip(specs, found, strict=True)}


def test_a_known_user_gets_films_of_their_taste_and_none_that_they_saw(answers: Pipeline) -> None:
    found = ask(answers, [1, 2], k=10)
    seen = ratings().groupby("userId").movieId.agg(set)
    assert found["personalized"].tolist() == [True, True]
    for row, user in enumerate((1, 2)):
        assert not set(found["items"][row].tolist()) & seen[user]
        assert (np.diff(found["scores"][row]) <= 0).all()
    lower = (found["items"] <= FILMS // 2).mean(axis=1)
    assert lower[0] > 0.7
    assert lower[1] < 0.3


def test_a_stranger_gets_the_most_popular_films_and_is_told_so(answers: Pipeline) -> None:
    found = ask(answers, [USERS + 1], k=5)
    counts = ratings().movieId.value_counts()
    assert found["personalized"].tolist() == [False]
    assert found["scores"][0].tolist() == pytest.approx((counts.head(5) / USERS).tolist())
    assert [counts[item] for item in found["items"][0]] == counts.head(5).tolist()


def test_a_stranger_who_says_what_they_saw_gets_their_taste_and_nothing_of_it(answers: Pipeline) -> None:
    shown = [3, 5, 7, 8]
    found = ask(answers, [USERS + 1, USERS + 2], [shown, [50, 52, -1, -1]], k=10)
    assert found["personalized"].tolist() == [True, True]
    assert not set(found["items"][0].tolist()) & set(shown)
    lower = (found["items"] <= FILMS // 2).mean(axis=1)
    assert lower[0] > lower[1]


def test_films_that_nobody_knows_and_an_empty_list_say_nothing(answers: Pipeline) -> None:
    nothing = ask(answers, [USERS + 1])
    for seen in ([[999_999]], [[-1]], [[]]):
        found = ask(answers, [USERS + 1], seen)
        assert found["items"].tolist() == nothing["items"].tolist()
        assert found["personalized"].tolist() == [False]


def test_rows_together_are_answered_as_they_are_alone(answers: Pipeline) -> None:
    together = ask(answers, [1, 2, USERS + 1])
    for row, user in enumerate((1, 2, USERS + 1)):
        alone = ask(answers, [user])
        assert together["items"][row].tolist() == alone["items"][0].tolist()
        assert together["scores"][row] == pytest.approx(alone["scores"][0], abs=1e-5)


@pytest.mark.parametrize(
    ("user", "seen", "parameters", "reason"),
    [
        ([0], None, {}, "input 'user': element 0 is 0; user ids are 1 and above"),
        ([1, -5], None, {}, "input 'user': element 1 is -5"),
        ([], None, {}, "input 'user': 0 users given, the model takes 1 to 64"),
        ([1] * 65, None, {}, "input 'user': 65 users given, the model takes 1 to 64"),
        ([1], None, {"k": 0}, "parameter 'k': '0' given, the model takes a whole number from 1 to"),
        ([1], None, {"k": 10_000}, "parameter 'k': '10000' given"),
        ([1], None, {"k": True}, "parameter 'k': 'True' given"),
        ([1], None, {"k": "x" * 900}, "parameter 'k': 'xxxx"),
        ([1], [[0]], {}, r"input 'seen': element \[0,0\] is 0; film ids are 1 and above, -1 fills a row"),
        ([1], [[5], [6]], {}, "input 'seen': 2 rows given, 'user' has 1"),
        ([1], [[5] * 1001], {}, "input 'seen': 1001 films a row given, the model takes up to 1000"),
        ([1], None, {"k": 79}, r"parameter 'k': 79 asked, only \d+ films are left that user 1 has not seen"),
    ],
)
def test_bad_requests_are_refused_with_their_reason(
    answers: Pipeline, user: list[int], seen: list[list[int]] | None, parameters: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BadInput, match=f"^{reason}"):
        ask(answers, user, seen, **parameters)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda table: table.assign(rating=table.rating.where(table.index != 3)),
            "column rating: 1 values, first nan of row 4: missing",
        ),
        (lambda table: table.assign(rating=table.rating.replace(5.0, 7.0)), "column rating: "),
        (
            lambda table: table.drop(columns="timestamp"),
            "column timestamp: is missing; the file has userId, movieId, rating",
        ),
        (lambda table: pd.concat([table, table.head(1)]), "the same values again"),
        (lambda table: table.assign(rating=4.0), "one value only: every rating has the same value"),
        (lambda table: table[table.userId < 10], "users: 9 users, at least 50 are needed"),
        (lambda table: table.drop(table.index[2:EACH]), "ratings per user: a user has 2 ratings"),
        (
            lambda table: pd.concat(
                [table[table.movieId != 1], table.drop_duplicates("userId").assign(movieId=1)]
            ),
            "balance: a film was rated by a share of 1.000 of the users, above 0.8",
        ),
    ],
)
def test_ratings_that_nothing_may_learn_from_are_refused(
    tmp_path: Path,
    imported: Import,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    reason: str,
) -> None:
    job = miniature(job_alone(tmp_path, "recommender"), change(ratings()))
    monkeypatch.chdir(job)
    with pytest.raises(TrainError, match=r"^ratings.csv fails \d of \d+ checks: ") as refused:
        imported("validate").validate()
    assert reason in str(refused.value)
    assert not all(
        check["passed"] for check in json.loads((job / "work/report.json").read_text("utf-8"))["checks"]
    )


def test_a_split_that_leaks_is_found(imported: Import) -> None:
    validate, table = imported("validate"), ratings()
    older, newest = imported("ratings").split_in_time(table, 0.2)
    assert [finding.passed for finding in validate.split_findings(older, newest)] == [True] * 3
    leaking = validate.split_findings(table, newest)
    assert leaking[0].detail == f"{len(newest)} ratings are in training and test"
    turned = validate.split_findings(newest, older)
    assert turned[1].detail == f"{USERS} users have test ratings older than training ones"
    alone = validate.split_findings(older[older.userId > 3], newest)
    assert alone[2].detail == "3 users are in one part only"


def test_the_newest_fifth_of_every_user_is_test(imported: Import) -> None:
    older, newest = imported("ratings").split_in_time(ratings(), 0.2)
    assert (newest.groupby("userId").size() == EACH // 5).all()
    assert (older.groupby("userId").timestamp.max() < newest.groupby("userId").timestamp.min()).all()


def test_its_best_scores_are_watched_for_nobody_could_compare_users(made: Path, answers: Pipeline) -> None:
    found = load_reference(made, answers.contract)
    assert found is not None
    assert (found[1].inputs, found[1].label, found[1].outputs) == ((), None, (("scores", 1),))
    (told,) = found[0].predictions.outputs
    assert told.min <= ask(answers, [1])["scores"].max() <= told.max


def test_a_table_that_is_not_csv_is_refused_in_one_line(tmp_path: Path, run: Run) -> None:
    job = miniature(job_alone(tmp_path, "recommender"))
    (job / "data/ratings.csv").write_bytes(b"")
    (tmp_path / "training-jobs/trainkit").symlink_to(ROOT / "training-jobs/trainkit")
    assert refusal(run, job, "validate.py").startswith("trainkit: data/ratings.csv is no csv table: ")


@pytest.mark.parametrize(
    ("section", "values", "reason"),
    [
        ("train", {"variant": "als"}, "variant is 'als'; write advanced or baseline"),
        ("train", {"ridge": 0.0}, "ridge is 0.0; write a number above 0, at most 1000000000"),
        ("train", {"items": -1}, "items is -1; write 1 to 1000000"),
        ("train", {"prior": 0.0}, "prior is 0.0; write a number above 0, at most 1000000000"),
        ("evaluate", {"test_share": 1.0}, "test_share is 1.0; write 0.01 to 0.99"),
        ("evaluate", {"top": 0}, "top is 0; write 1 to 1000"),
        ("evaluate", {"stranger_every": 1}, "stranger_every is 1; write 2 to 1000"),
        ("evaluate", {"als_iterations": -1}, "als_iterations is -1; write 1 to 10000"),
    ],
)
def test_parameters_that_make_no_model_or_judge_nothing_are_refused(
    tmp_path: Path,
    imported: Import,
    monkeypatch: pytest.MonkeyPatch,
    section: str,
    values: dict[str, object],
    reason: str,
) -> None:
    job = miniature(job_alone(tmp_path, "recommender"))
    with_params(job, **{section: values})
    stage = imported("train").train if section == "train" else imported("plan").evaluation
    assert refused(monkeypatch, job, stage) == f"params.yaml: {section}.{reason}"


def test_ndcg_and_recall_are_those_of_a_list_worked_out_by_hand(imported: Import) -> None:
    quality = imported("ranking").quality(
        np.array([[1, 2, 3], [4, 5, 6]]), [frozenset({1, 3}), frozenset({9})]
    )
    ideal = 1 + 1 / np.log2(3)
    assert quality.ndcg == pytest.approx([(1 + 0.5) / ideal, 0])
    assert quality.recall == pytest.approx([1, 0])


def test_ease_is_the_minimum_of_its_objective(imported: Import) -> None:
    """Zero diagonal, and a gradient of zero everywhere else: X'(XB - X) + ridge B."""
    seen = (np.random.default_rng(3).random((40, 12)) < 0.3).astype(np.float32)
    weights = imported("model").ease(seen, 5.0).astype(np.float64)
    gradient = seen.T @ (seen @ weights - seen) + 5.0 * weights
    assert np.diag(weights) == pytest.approx(0)
    assert gradient[~np.eye(12, dtype=bool)] == pytest.approx(0, abs=1e-4)


def test_what_a_user_saw_is_never_among_the_best(imported: Import) -> None:
    scores, seen = np.array([[9.0, 1, 5, 5]], np.float32), np.array([[1.0, 0, 0, 0]], np.float32)
    assert imported("ranking").top_items(scores, seen, 3).tolist() == [[2, 3, 1]]


@pytest.mark.fleet
def test_the_whole_pipeline_beats_popularity_and_gives_the_same_bytes_again(tmp_path: Path, run: Run) -> None:
    job = miniature(checkout(tmp_path / "clone"))
    done = run(job, "-m", "trainkit", "run", "--no-register", ".")
    assert done.returncode == 0, done.stderr
    sums = (job / "artifact/SHA256SUMS").read_bytes()
    (job / "work/model.joblib").unlink()
    for stage in ("train.py", "export.py"):
        assert run(job, stage).returncode == 0
    assert (job / "artifact/SHA256SUMS").read_bytes() == sums
    metrics = json.loads((job / "metrics.json").read_text("utf-8"))
    assert metrics["ndcg_at_10"] > metrics["baseline_ndcg_at_10"]
    assert metrics["ndcg_at_10_low"] < metrics["ndcg_at_10"] < metrics["ndcg_at_10_high"]
    assert metrics["als_ndcg_at_10"] > 0
    assert metrics["stranger_ndcg_at_10"] > metrics["baseline_stranger_ndcg_at_10"] > 0
    verify(job / "artifact", f"sha256:{hashlib.sha256(sums).hexdigest()}")


@pytest.mark.fleet
def test_the_word_baseline_trains_popularity(tmp_path: Path, run: Run) -> None:
    job = miniature(checkout(tmp_path / "clone"))
    with_params(job, train={"variant": "baseline"})
    done = run(job, "-m", "trainkit", "run", "--no-register", ".")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((job / "metrics.json").read_text("utf-8"))
    assert metrics["ndcg_at_10"] == metrics["baseline_ndcg_at_10"]
    pipeline = load_pipeline(job / "artifact", "recommender", Runtime())
    assert ask(pipeline, [1])["personalized"].tolist() == [False]
