"""What a release says of its answers on reference rows."""

import re
from typing import Any

import numpy as np
import pytest

from trainkit.errors import TrainError
from trainkit.golden import Tensor
from trainkit.reference import predictions

OUTPUTS = [
    Tensor("label", "BYTES", (-1,)),
    Tensor("probabilities", "FP32", (-1, 2)),
    Tensor("blurred", "BOOL", (-1,)),
    Tensor("items", "INT64", (-1,)),
]
LABELS = ("no", "yes")


def test_of_several_numbers_a_row_the_largest_is_counted() -> None:
    rows = np.array([[0.1, 0.9], [0.6, 0.4], [0.5, 0.5], [0.2, 0.8]], np.float32)
    (told,) = predictions({"probabilities": rows}, OUTPUTS, LABELS)["outputs"]
    assert (told["name"], told["min"], told["max"]) == ("probabilities", 0.5, 0.9)
    assert sum(told["shares"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "values", "shares"),
    [
        ("label", np.array(["no", "no", "no", "no"]), {"no": 1.0, "yes": 0.0}),
        ("label", np.array([b"yes", b"rose"], object), {"no": 0.0, "rose": 0.5, "yes": 0.5}),
        ("blurred", np.array([True, False, False, False]), {"false": 0.75, "true": 0.25}),
        ("blurred", np.array([True, True]), {"false": 0.0, "true": 1.0}),
    ],
)
def test_classes_have_shares_even_where_none_was_answered(
    name: str, values: Any, shares: dict[str, float]
) -> None:
    assert predictions({name: values}, OUTPUTS, LABELS) == {"outputs": [], "classes": shares}


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"score": np.zeros(3)}, "answers: 'score' is no output of the release; it has label, probab"),
        ({"label": np.array(["no"])}, "answers: label has shape (1,); give a row for each of two or more"),
        ({"probabilities": np.zeros((2, 2, 2))}, "answers: probabilities has shape (2, 2, 2); give a row"),
        ({"probabilities": np.array([[0.1], [np.nan]])}, "probabilities is not a finite number in 1 rows"),
        (
            {"label": np.array(["no", "no"]), "blurred": np.array([True, True])},
            "answers: label and blurred are classes both; one output is watched as the class",
        ),
    ],
)
def test_answers_that_tell_nothing_are_refused(answers: dict[str, Any], reason: str) -> None:
    with pytest.raises(TrainError, match=re.escape(reason)):
        predictions(answers, OUTPUTS, LABELS)
