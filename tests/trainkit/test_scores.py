"""Metrics against values that are known by other means."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.trainkit.toy import table
from trainkit.scores import classification, log_loss, ranking, roc_auc, wilson

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
