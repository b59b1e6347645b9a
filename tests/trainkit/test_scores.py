"""Metrics against values that are known by other means."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.trainkit.toy import table
from trainkit.errors import TrainError
from trainkit.scores import Bootstrap, beside, classification, log_loss, ranking, roc_auc, slices, wilson

FOUR = table([[0, 0]] * 4, ["no", "no", "yes", "yes"])
ANSWERS = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.0, 1.0]])


def test_wilson_gives_the_published_interval() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, method 3.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_roc_auc_is_scikit_learns_with_ties() -> None:
    random = np.random.default_rng(3)
    truth, score = random.integers(0, 2, 200).astype(bool), random.integers(0, 20, 200) / 20
    assert roc_auc(truth, score) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)


def test_accuracy_recall_and_interval_come_from_the_answers() -> None:
    found = classification(FOUR, [ANSWERS, ANSWERS])
    assert (found["accuracy"], found["recall_no"], found["recall_yes"]) == (0.75, 0.5, 1.0)
    assert found["accuracy_low"] < 0.75 < found["accuracy_high"]


def test_log_loss_is_the_mean_negative_logarithm_of_the_own_class() -> None:
    assert log_loss(FOUR, ANSWERS) == pytest.approx(-np.log([0.9, 0.4, 0.8, 1.0]).mean())


def test_a_probability_of_zero_costs_much_but_not_everything() -> None:
    certain = np.array([[0.0, 1.0]] * 4)
    assert log_loss(FOUR, certain) == pytest.approx(-np.log(1e-3) / 2)


def test_ranking_is_about_the_positive_class() -> None:
    found = ranking(FOUR, "yes", [ANSWERS])
    assert found["roc_auc"] == 1.0
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.04) / 4)
    assert ranking(FOUR, "no", [ANSWERS])["roc_auc"] == 1.0


def test_a_bootstrap_interval_of_a_mean_is_the_normal_one_for_many_rows() -> None:
    values = np.random.default_rng(5).normal(3, 2, 4000)
    low, high = Bootstrap(4000, seed=7).interval(lambda rows: float(values[rows].mean()))
    half = 1.96 * values.std() / 4000**0.5
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.arange(30.0)
    one, other, third = (Bootstrap(30, seed, 100).means({"size": values}) for seed in (7, 7, 8))
    assert one == other != third
    assert one["size"] == 14.5
    assert one["size_low"] < 14.5 < one["size_high"]


def test_any_metric_over_rows_has_an_interval() -> None:
    truth, score = np.array([False, False, True, True] * 10), np.linspace(0, 1, 40)
    found = Bootstrap(40, 7, 200).scored("auc", lambda rows: roc_auc(truth[rows], score[rows]))
    assert list(found) == ["auc", "auc_low", "auc_high"]
    assert found["auc_low"] < found["auc"] == round(roc_auc(truth, score), 6) < found["auc_high"]


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:Mean of empty")
def test_resamples_without_a_class_do_not_count() -> None:
    values = np.array([1.0, np.nan, np.nan])

    def mean(rows: np.ndarray) -> float:
        return float(np.nanmean(values[rows]))

    assert Bootstrap(3, 7, 50).interval(mean) == (1.0, 1.0)
    with pytest.raises(TrainError, match="no resample of 2 rows gives a number"):
        Bootstrap(2, 7, 20).interval(lambda rows: float("nan"))


def test_metrics_of_slices_have_names_that_gates_read() -> None:
    right = np.array([1.0, 0.0, 1.0, 1.0])
    found = slices(
        "kind", ["red wine", "white", "white", "red wine"], lambda rows: {"accuracy": right[rows].mean()}
    )
    assert found == {
        "slice_kind_red_wine_rows": 2,
        "slice_kind_red_wine_accuracy": 1.0,
        "slice_kind_white_rows": 2,
        "slice_kind_white_accuracy": 0.5,
    }


def test_slices_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(TrainError, match="slices of size: two values are one name"):
        slices("size", ["a b", "a/b"], lambda rows: {})
    with pytest.raises(TrainError, match="use up to 63 of"):
        slices("size", ["a" * 60], lambda rows: {})


def test_the_baseline_is_beside_the_variant_that_is_trained() -> None:
    assert beside({"accuracy": 0.9}, {"accuracy": 0.8}) == {"accuracy": 0.9, "baseline_accuracy": 0.8}
