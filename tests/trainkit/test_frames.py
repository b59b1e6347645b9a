"""Frames: what pandera finds is told with the column, the value, the row and what to do."""

from pathlib import Path

import pandas as pd
import pandera.pandas as pa
import pytest

from trainkit.errors import TrainError
from trainkit.frames import checked, read_frame

SCHEMA = pa.DataFrameSchema(
    {
        "text": pa.Column(str, pa.Check.str_length(1, 10), unique=True),
        "label": pa.Column("int64", pa.Check.isin([0, 1])),
        "share": pa.Column("float64", [pa.Check.in_range(0, 1), pa.Check(lambda s: s != 0.5, error="even")]),
    },
    strict=True,
)
GOOD = pd.DataFrame({"text": ["a", "b", "c"], "label": [0, 1, 1], "share": [0.1, 0.2, 1.0]})


def failures(frame: pd.DataFrame, schema: pa.DataFrameSchema = SCHEMA) -> dict[str, str]:
    return {found.check: found.detail for found in checked(frame, schema) if not found.passed}


def test_a_frame_that_fits_has_a_passing_finding_a_column() -> None:
    found = checked(GOOD, SCHEMA)
    assert [(one.check, one.passed) for one in found] == [
        ("column text", True),
        ("column label", True),
        ("column share", True),
    ]


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("label", [0, 7, 9], "2 values, first 7 of row 2: not isin([0, 1]); correct the rows"),
        ("share", [0.1, 2.0, 0.3], "1 values, first 2.0 of row 2: not in_range(0, 1); correct"),
        ("share", [0.1, None, 0.3], "1 values, first nan of row 2: missing; correct"),
        ("share", [0.1, 0.2, 0.5], "1 values, first 0.5 of row 3: not even; correct"),
        ("text", ["a", "", "c"], "1 values, first '' of row 2: not str_length(1, 10); correct"),
        ("text", ["a", None, "c"], "1 values, first None of row 2: missing; correct"),
        ("text", ["a", "b", "a"], "2 values, first 'a' of row 1: there twice; correct"),
        ("text", ["a", "b", "c" * 99], f"1 values, first '{'c' * 59}... of row 3: not str_length"),
        ("label", ["0", "one", "1"], ", the schema says int64; first 'one' of row 2; correct"),
        ("label", [0.0, 1.0, 0.5], "is float64, the schema says int64; first 0.5 of row 3; correct"),
    ],
)
def test_a_wrong_value_is_told_with_its_row_and_the_rule(
    column: str, values: list[object], told: str
) -> None:
    found = failures(GOOD.assign(**{column: values}))
    assert list(found) == [f"column {column}"]
    assert told in found[f"column {column}"]


def test_rows_are_counted_as_the_file_has_them_whatever_the_index() -> None:
    shuffled = GOOD.assign(label=[0, 1, 5]).set_index(pd.Index([30, 20, 10]))
    assert "first 5 of row 3" in failures(shuffled)["column label"]


def test_missing_and_unknown_columns_are_named() -> None:
    found = failures(GOOD.rename(columns={"label": "lable"}))
    assert found["column label"] == "is missing; the file has text, lable, share"
    assert found["column lable"].startswith("is unknown; take it out of the file")


def test_rules_over_several_columns_name_the_first_row_with_its_values() -> None:
    rule = pa.Check(lambda frame: frame["share"] >= frame["label"], error="share at least label")
    found = failures(GOOD, pa.DataFrameSchema(SCHEMA.columns, checks=[rule]))
    assert found["columns together"].startswith(
        "1 rows, first row 2 (text 'b', label 1, share 0.2): not share at least"
    )


def test_pairs_that_are_there_twice_are_told_once() -> None:
    schema = pa.DataFrameSchema({"label": pa.Column("int64")}, unique=["label"])
    assert failures(GOOD, schema)["columns together"].startswith(
        "2 rows, first row 2 (label 1): the same values"
    )


def test_a_rule_that_breaks_is_no_pass() -> None:
    schema = pa.DataFrameSchema({"text": pa.Column(str, pa.Check(lambda s: s > 1, error="large"))})
    assert failures(GOOD, schema)["column text"].startswith("large cannot be checked: TypeError")


def test_of_a_wrong_type_only_the_type_is_told() -> None:
    rule = pa.Check(lambda frame: frame["share"] > frame["label"])
    found = failures(GOOD.assign(label=["0", "1", "x"]), pa.DataFrameSchema(SCHEMA.columns, checks=[rule]))
    assert list(found) == ["column label"]


def test_a_frame_without_rows_is_refused() -> None:
    assert failures(GOOD.head(0)) == {"rows": "there is none: is it the whole file?"}


def test_csv_and_parquet_are_read_by_their_names(tmp_path: Path) -> None:
    GOOD.to_csv(tmp_path / "a.csv", index=False)
    GOOD.to_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        pd.testing.assert_frame_equal(read_frame(tmp_path / name), GOOD)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.parquet", b"a,b\n1,2\n", r"a\.parquet is no parquet table: "),
        ("a.csv", b"", r"a\.csv is no csv table: No columns to parse"),
        ("a.csv", b"\xff\xfe\x00", r"a\.csv is no csv table: .*codec can't decode"),
        ("a.csv", b'a,b\n1,2,3,4\n"', r"a\.csv is no csv table: "),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainError, match=reason) as refused:
        read_frame(tmp_path / name)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_missing_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"a\.csv is missing: python -m trainkit fetch"):
        read_frame(tmp_path / "a.csv")
