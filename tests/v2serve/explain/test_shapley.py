"""Exact Shapley values: what their axioms say, for any model and any background."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from v2serve.explain.shapley import Shapley

Values = NDArray[np.float64]


def crossed(rows: Values) -> Values:
    """No feature of it is without the others' influence, but the last one, which counts for nothing."""
    answer: Values = np.tanh(rows[:, 0]) * rows[:, 1] + rows[:, :-1].prod(axis=1) + rows[:, 0] ** 2
    return answer


def drawn(features: int, rows: int, seed: int) -> tuple[Values, Values]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(rows, features)), generator.normal(size=features)


@given(st.integers(2, 6), st.integers(1, 4), st.integers(0, 1000))
def test_values_add_up_to_the_answer_and_what_counts_for_nothing_gets_nothing(
    features: int, rows: int, seed: int
) -> None:
    background, row = drawn(features + 1, rows, seed)
    shapley = Shapley(background)
    values, base = shapley.values(crossed(shapley.questions(row)))
    assert values.sum() + base == pytest.approx(crossed(row[None])[0])
    assert base == pytest.approx(crossed(background).mean())
    assert values[-1] == pytest.approx(0, abs=1e-9)


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 1000))
def test_of_a_linear_model_they_are_the_weighted_distances_from_the_mean(
    features: int, rows: int, seed: int
) -> None:
    background, row = drawn(features, rows, seed)
    weights = np.random.default_rng(seed + 1).normal(size=features)
    shapley = Shapley(background)
    values, _ = shapley.values(shapley.questions(row) @ weights)
    np.testing.assert_allclose(values, weights * (row - background.mean(axis=0)), atol=1e-9)


def test_two_features_that_do_the_same_get_the_same() -> None:
    shapley = Shapley(np.zeros((1, 3)))
    questions = shapley.questions(np.array([2.0, 2.0, 5.0]))
    values, _ = shapley.values(questions[:, 0] * questions[:, 1] + questions[:, 2])
    assert values[0] == pytest.approx(values[1])
    assert values.tolist() == pytest.approx([2.0, 2.0, 5.0])


def test_the_last_question_is_the_row_itself_and_the_first_the_background() -> None:
    background, row = drawn(3, 2, 0)
    questions = Shapley(background).questions(row)
    assert len(questions) == Shapley(background).asked == 16
    np.testing.assert_array_equal(questions[:2], background)
    np.testing.assert_array_equal(questions[-1], row)
