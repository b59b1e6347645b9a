"""Drift: the index is the published one, new data is compared with the version that serves."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainkit.test_checks import LIMITS
from tests.trainkit.toy import SCHEMA, good_table
from trainkit.drift import check_drift, last_reference, psi
from trainkit.errors import TrainError
from trainkit.reference import reference, shares_within

shares = st.lists(st.floats(0, 1), min_size=2, max_size=10).filter(any)


def test_the_index_is_the_sum_over_bins() -> None:
    expected = (0.4 - 0.5) * math.log(0.4 / 0.5) + (0.6 - 0.5) * math.log(0.6 / 0.5)
    assert psi([0.5, 0.5], [0.4, 0.6]) == pytest.approx(expected)


@given(shares, shares)
def test_the_index_is_symmetric_and_never_negative(one: list[float], other: list[float]) -> None:
    first, second = (np.array(found[: min(len(one), len(other))]) for found in (one, other))
    assert psi(first, second) == pytest.approx(psi(second, first))
    assert psi(first, second) >= 0
    assert psi(first, first) == 0


def test_the_same_data_has_not_drifted() -> None:
    good = good_table()
    last, columns = reference(good, SCHEMA), dict(zip(SCHEMA.names, good.features.T, strict=True))
    found = check_drift(last, columns, {"no": 0.5, "yes": 0.5}, LIMITS)
    assert [one.check for one in found] == ["drift of length", "drift of width", "drift of classes"]
    assert all(one.detail == "PSI 0.000 from the last version" for one in found)


def test_a_shift_is_refused_with_the_way_to_accept_it() -> None:
    good = good_table()
    last = reference(good, SCHEMA)
    (moved,) = check_drift(last, {"length": good.features[:, 0] + 4}, {}, LIMITS)
    assert not moved.passed
    assert (
        "at most 0.25 is allowed; if the new data is meant, put the reference.json of a release"
        in moved.detail
    )


def test_a_small_shift_is_a_warning_that_passes() -> None:
    (moved,) = check_drift(
        {"features": [], "classes": {"a": 0.5, "b": 0.5}}, {}, {"a": 0.7, "b": 0.3}, LIMITS
    )
    assert moved.passed
    assert moved.detail.startswith("warning: PSI 0.169 from the last version is above 0.1")


def test_a_class_that_is_new_or_gone_is_drift_of_the_classes() -> None:
    last = {"features": [], "classes": {"a": 0.5, "b": 0.5}}
    (found,) = check_drift(last, {}, {"a": 0.5, "c": 0.5}, LIMITS)
    assert (found.check, found.passed) == ("drift of classes", False)


def test_columns_that_the_last_version_did_not_know_are_not_compared() -> None:
    last = reference(good_table(), SCHEMA)
    assert check_drift(last, {"height": np.zeros(3)}, {}, LIMITS) == []
    assert check_drift(None, {"length": np.zeros(3)}, {"no": 1.0}, LIMITS) == []


def test_bins_are_open_below_and_closed_above() -> None:
    assert shares_within([1.0, 2.0], np.array([1.0, 1.5, 2.0, 3.0])) == [0.25, 0.5, 0.25]
    assert shares_within([1.0], np.array([])) == [0.0, 0.0]


def test_the_last_reference_is_a_file_of_the_job_or_none(tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    assert last_reference(path) is None
    path.write_text(json.dumps({"features": []}), encoding="utf-8")
    assert last_reference(path) == {"features": []}


@pytest.mark.parametrize("content", ["[1]", "{", '{"features": [{"name": "length"}]}', "{}"])
def test_a_file_that_is_no_reference_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "reference.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TrainError, match=r"reference\.json .*copy it from"):
        check_drift(last_reference(path), {}, {}, LIMITS)
