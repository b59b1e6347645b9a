"""Frames of CSV and parquet against a pandera schema, told in our words; for jobs that have frames.

No other module of trainkit imports it: pandera and pandas take a second of every stage that does.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import pandera.errors
import pandera.pandas as pa

from trainkit.checks import Finding, finding
from trainkit.errors import TrainError

FIX = "correct the rows, or, if they are right, the schema"
SHOWN = 60  # characters of a value


def read_frame(path: Path) -> pd.DataFrame:
    """A .csv or .parquet file as it is; TrainError if it is missing, broken or another format."""
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, encoding="utf-8")
    except FileNotFoundError:
        raise TrainError(f"{path} is missing: python -m trainkit fetch .") from None
    except (ValueError, OSError) as error:  # pandas' and Arrow's errors of parsing are ValueErrors
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TrainError(f"{path} is no {path.suffix[1:]} table: {told[:200]}") from None


def checked(frame: pd.DataFrame, schema: pa.DataFrameSchema) -> list[Finding]:
    """A finding for every column of the schema that fits, and one for each way in which something does not."""
    if not len(frame):
        return [finding("rows", "there is none: is it the whole file?")]
    plain = frame.reset_index(drop=True)
    failed = list(_failures(plain, _cases(plain, schema)))
    broken = {name for name, _ in failed}
    fitting = [finding(f"column {name}", None) for name in schema.columns if name not in broken]
    return [found for _, found in failed] + fitting


def _cases(frame: pd.DataFrame, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """pandera's failure cases: column, check, failure_case, and index, which is None for a whole column."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", FutureWarning
        )  # pandera joins its own lists as pandas will not for long
        try:
            schema.validate(frame, lazy=True)
        except pandera.errors.SchemaErrors as error:
            return error.failure_cases
    return pd.DataFrame(columns=["schema_context", "column", "check", "failure_case", "index"])


def _failures(frame: pd.DataFrame, cases: pd.DataFrame) -> Iterator[tuple[str | None, Finding]]:
    """Pairs of the column (None: several) and what is wrong with it; of a wrong type, only the type is told."""
    shaped = cases["check"].astype(str).str.contains(r"^(?:coerce_)?dtype\(")
    mistyped = set(cases.loc[shaped, "column"])
    for (context, check), group in cases.groupby(["schema_context", "check"], sort=True):
        if context == "DataFrameSchema":
            yield from _of_table(frame, str(check), group, bool(mistyped))
            continue
        for column, rows in group.groupby("column", sort=True):
            if str(check).startswith(("dtype(", "coerce_dtype(")):
                yield column, finding(f"column {column}", _mistyped(frame[column], str(check)))
            elif column not in mistyped:
                yield column, finding(f"column {column}", _values(frame[column], str(check), rows))


def _of_table(
    frame: pd.DataFrame, check: str, cases: pd.DataFrame, mistyped: bool
) -> Iterator[tuple[str | None, Finding]]:
    if check == "column_in_dataframe":
        for name in cases["failure_case"]:
            yield name, finding(f"column {name}", f"is missing; the file has {', '.join(map(str, frame))}")
    elif check == "column_in_schema":
        for name in cases["failure_case"]:
            yield (
                name,
                finding(f"column {name}", "is unknown; take it out of the file, or name it in the schema"),
            )
    elif cases["index"].notna().all():
        rows = sorted({int(row) for row in cases["index"]})
        first = {name: _shown(frame[name].iloc[rows[0]]) for name in cases["column"].dropna().unique()}
        told = ", ".join(f"{name} {value}" for name, value in first.items())
        words = "the same values again" if check == "multiple_fields_uniqueness" else f"not {check}"
        yield (
            None,
            finding(
                "columns together", f"{len(rows)} rows, first row {rows[0] + 1} ({told}): {words}; {FIX}"
            ),
        )
    elif not mistyped and not cases["failure_case"].astype(str).str.startswith("KeyError").all():
        yield None, finding("columns together", f"{check} cannot be checked: {cases['failure_case'].iloc[0]}")


def _mistyped(column: "pd.Series[Any]", check: str) -> str:
    """With the first value that is not of the type, where one can be told from the others."""
    wanted = check[check.index("(") + 1 : -1].strip("'")
    told = f"is {column.dtype}, the schema says {wanted}"
    if wanted.startswith(("int", "float", "uint")):
        numbers = pd.to_numeric(column, errors="coerce")
        wrong = numbers.isna() | (numbers % 1 != 0 if "int" in wanted else False)
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            return f"{told}; first {_shown(column.iloc[row])} of row {row + 1}; {FIX}"
    return f"{told}; {FIX}"


def _values(column: "pd.Series[Any]", check: str, cases: pd.DataFrame) -> str:
    if cases["index"].isna().any():
        return f"{check} cannot be checked: {cases['failure_case'].iloc[0]}"
    rows = sorted({int(row) for row in cases["index"]})
    words = {"not_nullable": "missing", "field_uniqueness": "there twice"}.get(check, f"not {check}")
    return f"{len(rows)} values, first {_shown(column.iloc[rows[0]])} of row {rows[0] + 1}: {words}; {FIX}"


def _shown(value: Any) -> str:
    text = repr(value.item() if hasattr(value, "item") else value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
