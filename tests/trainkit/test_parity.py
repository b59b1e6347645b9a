"""Parity: a graph that answers otherwise than its source is not exported."""

from typing import Any

import numpy as np
import pytest

from trainkit.errors import TrainError
from trainkit.parity import Parity, compared

LABELS = np.array(["no", "yes"])
NUMBERS = np.array([0.1, 0.9])


def test_the_largest_difference_over_all_numbers_is_told_with_its_rows() -> None:
    answers = {"label": LABELS.astype(object), "one": NUMBERS, "other": NUMBERS + np.array([0, 1e-7])}
    found = compared(answers, {"label": LABELS, "one": NUMBERS, "other": NUMBERS}, 1e-6)
    assert found == Parity(pytest.approx(1e-7), 1e-6, 2)


def test_equal_answers_differ_by_nothing() -> None:
    assert compared({"flag": np.array([True])}, {"flag": np.array([True])}, 0.0) == Parity(0.0, 0.0, 1)


@pytest.mark.parametrize(
    ("answer", "expected", "reason"),
    [
        (NUMBERS, NUMBERS + 0.1, "its source: x differs by 0.1, .*tolerance is 1e-06"),
        (np.array([np.nan]), np.array([0.2]), "x differs by nan"),
        (np.zeros((1, 2)), np.zeros(1), r"x has shape \(1, 2\), its source gives \(1,\)"),
        (np.array(["no", "no"]), LABELS, "on 1 of 2 rows of x, first in row 2: no instead of yes"),
        (np.array([1, 2, 4]), np.array([1, 2, 3]), "on 1 of 3 rows of x, first in row 3: 4 instead of 3"),
        (
            np.array([True, True]),
            np.array([False, True]),
            "on 1 of 2 rows of x, first in row 1: True instead",
        ),
    ],
)
def test_an_answer_that_differs_stops_the_export(answer: Any, expected: Any, reason: str) -> None:
    with pytest.raises(TrainError, match=reason):
        compared({"x": answer}, {"x": expected}, 1e-6)


def test_labels_may_differ_in_the_share_of_rows_that_is_allowed() -> None:
    answers, expected = {"x": np.array([1, 2, 3, 4])}, {"x": np.array([1, 2, 3, 5])}
    assert compared(answers, expected, 0.0, agreement=0.75).rows == 4
    with pytest.raises(TrainError, match="on 1 of 4 rows"):
        compared(answers, expected, 0.0, agreement=0.8)
