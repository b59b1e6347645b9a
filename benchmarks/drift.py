"""What a server's stability indexes say while real data move away from what its model was trained on.

Elec2 (Harries 1999): trained on the first 10,000 half-hours, asked about the rest in order. Wine Quality (Cortez 2009):
trained on half of the red wines, asked about the other half, and about the white ones. A server a block: its window is
of 15 minutes. Needs MAINLINE_DATASETS, with tabular/elec2.csv and tabular/wine_quality.csv (docs/fleet.md).
"""

import argparse
import json
import os
import re
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.servers import running
from trainkit.data import MIRROR
from trainkit.graph import classifier_graph, infer, with_probability_of
from trainkit.reference import reference
from trainkit.table import Column, Schema, Table
from v2serve.artifact import write_sums

ROWS = 200  # of a request
_INDEX = r'^inference_input_stability_index\{.*feature="(.*?)".*\} (\S+)$'
_ANSWERS = r"^inference_prediction_stability_index\{.*\} (\S+)$"
SHIFTED = 0.25  # Siddiqi, Credit Risk Scorecards, 2006


@dataclass(frozen=True)
class Study:
    """A model's name, the rows that it learns from, and blocks of rows that it is asked about."""

    name: str
    schema: Schema
    training: Table
    blocks: tuple[tuple[str, Table], ...]


@dataclass(frozen=True)
class Artifact:
    name: str
    digest: str
    folder: Path


@dataclass(frozen=True)
class Row:
    """What one block showed: share of right answers, the largest index of a feature, the index of the answers."""

    study: str
    block: str
    rows: int
    accuracy: float
    feature: str
    index: float
    answers_index: float


def main() -> None:
    chosen = _arguments()
    rows = [row for study in (_elec2(), _wine()) for row in _followed(study)]
    print(json.dumps([asdict(row) for row in rows], indent=2)) if chosen.json else _print(rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Example: MAINLINE_DATASETS=data python -m benchmarks.drift"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def _read(name: str) -> pd.DataFrame:
    mirror = os.environ.get(MIRROR)
    path = Path(mirror or "") / "tabular" / name
    if not mirror or not path.is_file():
        raise SystemExit(f"{path} is not there; set {MIRROR} to the folder of the data sets")
    return pd.read_csv(path)


def _elec2() -> Study:
    frame = _read("elec2.csv")
    labels = np.where(frame.pop("class") == 1, "up", "down")
    table = Table(frame.to_numpy(np.float32), labels)
    past = np.arange(10_000)
    edges = [(start, min(start + 9000, len(table))) for start in range(10_000, len(table), 9000)]
    blocks = [(f"rows {start:,} to {end:,}", table.take(np.arange(start, end))) for start, end in edges]
    blocks.insert(0, ("what it has learned from", table.take(past)))
    return Study("elec2", _schema(frame, ("down", "up")), table.take(past), tuple(blocks))


def _wine() -> Study:
    frame = _read("wine_quality.csv")
    red = (frame.pop("type") == "red").to_numpy()
    labels = np.where(frame.pop("quality") >= 6, "good", "poor")
    table = Table(frame.to_numpy(np.float32), labels)
    reds = np.random.default_rng(0).permutation(np.flatnonzero(red))
    half = len(reds) // 2
    blocks = (
        ("the other half of the red ones", table.take(reds[half:])),
        ("white ones", table.take(np.flatnonzero(~red))),
    )
    return Study("wine", _schema(frame, ("good", "poor")), table.take(reds[:half]), blocks)


def _schema(frame: pd.DataFrame, classes: tuple[str, ...]) -> Schema:
    return Schema(tuple(Column(name, "1", 0.0, 1e9) for name in frame.columns), classes)


def _followed(study: Study) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        artifact, graph = _written(study, Path(folder))
        for name, block in study.blocks:
            with running("v2serve", artifact) as server:
                for start in range(0, len(block), ROWS):
                    _ask(server.port, study.name, block.features[start : start + ROWS])
                told = _scraped(server.port)
            right = float(np.mean(infer(graph, block.features)["label"].astype(str) == block.labels))
            features = {key: value for key, value in told.items() if key}
            worst = max(features, key=lambda key: features[key])
            yield Row(study.name, name, len(block), right, worst, features[worst], told[""])


def _written(study: Study, folder: Path) -> tuple[Artifact, bytes]:
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=0))
    model.fit(study.training.features.astype(np.float64), study.training.labels)
    width = len(study.schema.columns)
    graph = with_probability_of(classifier_graph(model, width, study.name), 1).SerializeToString(
        deterministic=True
    )
    row = study.training.features[:1]
    answers = infer(graph, row)
    inputs = [{"name": "features", "datatype": "FP32", "shape": [-1, width]}]
    outputs = [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "probability", "datatype": "FP32", "shape": [-1]},
    ]
    contract = {"name": study.name, "platform": "onnxruntime_onnx", "inputs": inputs, "outputs": outputs}
    golden = {
        "request": _request(row),
        "response": {
            "outputs": [
                {**output, "shape": [1], "data": answers[output["name"]].tolist()} for output in outputs
            ]
        },
    }
    documents = {"contract": contract, "golden": golden, "reference": reference(study.training, study.schema)}
    (folder / "model.onnx").write_bytes(graph)
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    return Artifact(study.name, write_sums(folder), folder), graph


def _request(rows: NDArray[np.float32]) -> dict[str, Any]:
    data = rows.ravel().tolist()
    return {"inputs": [{"name": "features", "datatype": "FP32", "shape": list(rows.shape), "data": data}]}


def _ask(port: int, model: str, rows: NDArray[np.float32]) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v2/models/{model}/infer",
        json.dumps(_request(rows)).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        answer.read()


def _scraped(port: int) -> dict[str, float]:
    """The index of each feature, and that of the answers under "", once all that was asked is counted."""
    before = ""
    for _ in range(100):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found, answers = (re.findall(pattern, text, re.MULTILINE) for pattern in (_INDEX, _ANSWERS))
        counted = str([found, answers])
        if answers and counted == before:
            return {name: float(value) for name, value in found} | {"": float(answers[0])}
        before = counted
        time.sleep(1.2)  # the server counts between requests, and each second
    raise SystemExit("the server counts nothing; is its reference.json read?")


def _print(rows: list[Row]) -> None:
    print(f"{'':7}{'asked about':32}{'rows':>7}{'accuracy':>10}{'index':>8}  {'of':22}{'answers':>8}")
    for row in rows:
        marked = "shifted" if row.index > SHIFTED else ""
        print(
            f"{row.study:7}{row.block:32}{row.rows:>7,}{row.accuracy:>10.3f}{row.index:>8.2f}  {row.feature:22}"
            f"{row.answers_index:>8.2f}  {marked}"
        )


if __name__ == "__main__":
    main()
