"""Tables and checks: each kind of bad data is refused for its own reason."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainkit.toy import CSV, SCHEMA, good_table, table
from trainkit.checks import Limits, as_report, check_split, check_table, refuse_failed
from trainkit.errors import TrainError
from trainkit.reference import reference
from trainkit.splits import leaked_rows, repeated_folds, stratified_folds
from trainkit.table import Table, read_table

LIMITS = Limits(
    min_rows_per_class=2, min_class_share=0.2, max_duplicate_share=0.1, drift_warn=0.1, drift_fail=0.25
)


def failures(checked: Table) -> dict[str, str]:
    return {
        finding.check: finding.detail
        for finding in check_table(checked, SCHEMA, LIMITS)
        if not finding.passed
    }


def changed(row: int, column: int, value: float) -> Table:
    good = good_table()
    features = good.features.copy()
    features[row, column] = value
    return Table(features, good.labels)


def relabelled(*labels: str) -> Table:
    good = good_table()
    return Table(good.features, np.array([*labels, *good.labels[len(labels) :]], dtype=np.str_))


def test_a_packaged_csv_is_read_as_float32_and_class_names(tmp_path: Path) -> None:
    (tmp_path / "toy.csv").write_bytes(CSV)
    read = read_table(tmp_path / "toy.csv", SCHEMA)
    assert read.features.dtype == np.float32
    assert read.features.tolist() == [[1.0, 2.0], [1.5, 2.5], [7.0, 8.0], [7.5, 8.5]]
    assert read.labels.tolist() == ["no", "no", "yes", "yes"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\xff\xfe", "is not text"),
        (b"1,2,nein,ja\n1,2,0\n", r"classes are \['nein', 'ja'\], schema.py says \['no', 'yes'\]"),
        (b"1,1,no,yes\n1,0\n", "1 columns, schema.py names 2"),
        (b"2,2,no,yes\n1,2,0\n", "the header says 2 rows, the file has 1"),
        (b"1,2,no,yes\n1,2,3,0\n", "line 2: 4 cells, 2 features and a class expected"),
        (b"1,2,no,yes\n1,wide,0\n", "line 2: could not convert string to float: 'wide'"),
    ],
)
def test_a_file_of_another_schema_is_refused_with_its_line(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "toy.csv").write_bytes(content)
    with pytest.raises(TrainError, match=reason):
        read_table(tmp_path / "toy.csv", SCHEMA)


def test_empty_cells_and_unknown_codes_are_left_to_the_checks(tmp_path: Path) -> None:
    (tmp_path / "toy.csv").write_bytes(b"3,2,no,yes\n1,,0\n1,2,\n1,3,7\n")
    read = read_table(tmp_path / "toy.csv", SCHEMA)
    assert np.isnan(read.features[0, 1])
    assert read.labels.tolist() == ["no", "", ""]


def test_a_good_table_passes_every_check() -> None:
    findings = check_table(good_table(), SCHEMA, LIMITS)
    assert len(findings) == 9
    assert failures(good_table()) == {}
    report = as_report(findings, rows=40)
    assert (report["rows"], report["passed"], len(report["checks"])) == (40, True, 9)


@pytest.mark.parametrize(
    ("bad", "check", "reason"),
    [
        (changed(3, 1, float("nan")), "missing values", "1 NaN or infinite values, first in width of row 4"),
        (changed(3, 1, float("inf")), "missing values", "1 NaN or infinite values, first in width of row 4"),
        (
            changed(0, 0, -1.0),
            "ranges",
            "1 values out of range, first length = -1.0 cm of row 1, allowed 0.0 to 10.0",
        ),
        (relabelled("no", ""), "labels", "1 rows without a known class, first row 2"),
        (relabelled(*["no"] * 40), "classes", "only one class, no"),
        (relabelled(*[""] * 40), "classes", "no class at all"),
        (relabelled(*["no"] * 39), "classes", "yes has 1 rows, at least 2 are needed"),
        (relabelled(*["no"] * 34), "balance", "share of yes 0.075 is below 0.2"),
        (
            table([[1, 2], [1, 2], [3, 4], [5, 6]], ["no", "no", "yes", "yes"]),
            "duplicates",
            "1 copies of other rows",
        ),
        (
            table([[1, 2], [1, 2], [3, 4]], ["no", "yes", "yes"]),
            "conflicts",
            "1 equal rows have different classes",
        ),
        (table([[1, 2], [1, 3], [1, 4]], ["no", "no", "yes"]), "constant columns", "length never changes"),
        (
            table([[0, 2], [0, 3], [1, 4]], ["no", "no", "yes"]),
            "label leakage",
            "length has one value a class",
        ),
    ],
)
def test_bad_data_fails_its_own_check(bad: Table, check: str, reason: str) -> None:
    assert failures(bad)[check].startswith(reason)


def test_the_refusal_is_one_line_with_every_failed_check() -> None:
    findings = check_table(changed(0, 0, -1.0), SCHEMA, LIMITS)
    with pytest.raises(TrainError, match=r"^toy\.csv fails 1 of 9 checks: ranges: [^\n]*$"):
        refuse_failed(findings, "toy.csv")


def test_a_row_in_training_and_test_is_leakage() -> None:
    twins = table([[1, 2], [1, 2], [3, 4], [5, 6]], ["no", "no", "yes", "yes"])
    split = [(np.array([0, 2]), np.array([1, 3]))]
    assert leaked_rows(twins, split) == 1
    finding = check_split(twins, split)
    assert (finding.passed, finding.detail) == (False, "1 test rows are also training rows")


@given(
    st.integers(2, 6), st.integers(0, 99), st.lists(st.sampled_from(["no", "yes"]), min_size=12, max_size=60)
)
def test_folds_test_each_row_once_and_spread_each_class(folds: int, seed: int, labels: list[str]) -> None:
    numbered = table([[float(row), 0.0] for row in range(len(labels))], labels)
    split = stratified_folds(numbered, folds, seed)
    tested = np.concatenate([test for _, test in split])
    assert sorted(tested.tolist()) == list(range(len(labels)))
    assert leaked_rows(numbered, split) == 0
    for name in set(labels):
        counts = [int((numbered.labels[test] == name).sum()) for _, test in split]
        assert max(counts) - min(counts) <= 1


def test_distinct_rows_cannot_leak_however_they_are_split() -> None:
    twice = table(good_table().features.tolist() * 2, good_table().labels.tolist() * 2)
    distinct = twice.distinct()
    assert len(distinct) == 40
    assert [leaked_rows(distinct, split) for split in repeated_folds(distinct, 5, 3, 0)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("folds", "repeats", "reason"),
    [
        (1, 3, r"evaluate\.folds is 1; write 2 to 20$"),
        (21, 3, r"evaluate\.folds is 21; write 2 to 20$"),
    ],
)
def test_folds_that_leave_nothing_to_learn_or_to_test_are_refused(
    folds: int, repeats: int, reason: str
) -> None:
    labels = ["no"] * 20 + ["yes"] * 40
    with pytest.raises(TrainError, match=reason):
        repeated_folds(table([[float(row), 0.0] for row in range(60)], labels), folds, repeats, 0)


def test_reference_shares_of_each_feature_sum_to_one() -> None:
    found = reference(good_table(), SCHEMA)
    assert [feature["name"] for feature in found["features"]] == ["length", "width"]
    for feature in found["features"]:
        assert sum(feature["shares"]) == pytest.approx(1)
        assert len(feature["shares"]) == len(feature["quantiles"]) + 1
        assert feature["min"] <= feature["quantiles"][0] <= feature["mean"] <= feature["max"]
    assert found["classes"] == {"no": 0.5, "yes": 0.5}
