"""The job's data files as MLflow dataset inputs: name, digest, where from, columns, and what each is for."""

import csv
import json
import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainkit.job import DataFile, Job

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

CONTEXT = "mlflow.data.context"
DIGEST = 36  # characters that MLflow keeps of a data set's digest; the source has all 64
_NAME = re.compile(r"[A-Za-z_][\w .()%/-]*")
_SAMPLE = 100  # rows from which a column's type is read
_TYPES = {"int64": "long", "int32": "integer", "float": "float", "double": "double", "bool": "boolean"}


def dataset_inputs(job: Job, features: list[str]) -> "list[DatasetInput]":
    """One input a data file; `features` name the columns of a table without a header."""
    return [_input(job, data, features) for data in job.data]


def _input(job: Job, data: DataFile, features: list[str]) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag

    kind, source = source_of(data)
    path = job.path_of(data)
    columns = columns_of(path, features)
    dataset = Dataset(
        name=data.name,
        digest=data.sha256[:DIGEST],
        source_type=kind,
        source=json.dumps({**source, "sha256": data.sha256}, sort_keys=True),
        schema=json.dumps({"mlflow_colspec": columns}) if columns else None,
        profile=json.dumps({"bytes": path.stat().st_size}) if path.is_file() else None,
    )
    return DatasetInput(dataset, [InputTag(CONTEXT, context_of(data.name))])


def source_of(data: DataFile) -> tuple[str, dict[str, str]]:
    """(MLflow's source type, what names the source)."""
    if data.url:
        return "http", {"url": data.url}
    if data.package:
        return "package", {"uri": f"package:{data.package}"}
    return "page", {"url": str(data.source), "mirror": data.mirror}


def context_of(name: str) -> str:
    """What a file is for, by the words of its name: `test.csv` is testing, anything unsaid is training."""
    words = set(re.split(r"[^a-z]+", name.lower()))
    if words & {"test", "testing"}:
        return "testing"
    return "validation" if words & {"validation", "valid", "dev"} else "training"


def columns_of(path: Path, features: list[str]) -> list[dict[str, Any]]:
    """MLflow's column specs of a CSV or parquet file; none for other files and for one that is not here."""
    if path.suffix == ".parquet" and path.is_file():
        from pyarrow import parquet  # type: ignore[import-untyped]

        return [
            _column(field.name, _TYPES.get(str(field.type), str(field.type)))
            for field in parquet.read_schema(path)
        ]
    if path.suffix == ".csv" and path.is_file():
        return _csv_columns(path, features)
    return []


def _csv_columns(path: Path, features: list[str]) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = list(islice(csv.reader(file), _SAMPLE))
    if len(rows) < 2:
        return []
    header, body = rows[0], rows[1:]
    if not all(_NAME.fullmatch(cell) for cell in header):
        # scikit-learn's files begin with counts; the contract knows what the columns are.
        header = [*features, "label"]
    return [
        _column(name, _type([row[index] for row in body if len(row) == len(header)]))
        for index, name in enumerate(header)
    ]


def _column(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "required": True}


def _type(cells: list[str]) -> str:
    for kind, read in (("long", int), ("double", float)):
        try:
            if [read(cell) for cell in cells if cell]:
                return kind
        except ValueError:
            continue
    return "string"
