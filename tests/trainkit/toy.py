"""A job folder, a table and an artifact, small enough for a unit test."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from trainkit.artifact import write_sums
from trainkit.job import Job
from trainkit.table import Column, Schema, Table

SCHEMA = Schema((Column("length", "cm", 0.0, 10.0), Column("width", "cm", 0.0, 10.0)), ("no", "yes"))
CSV = b"4,2,no,yes\n1.0,2.0,0\n1.5,2.5,0\n7.0,8.0,1\n7.5,8.5,1\n"
CSV_SHA256 = "3a86a13eebc003a82ddb97099aa7925fdd0a235f552e56ddfd4f1eaf6c9d2393"
DECLARED: dict[str, Any] = {
    "name": "toy",
    "owner": "testers",
    "model": "toy-model",
    "data": [{"name": "toy.csv", "sha256": CSV_SHA256, "package": "trainkit/toy.csv"}],
    "resources": {"cpu": "1", "memory": "1Gi"},
    "deadline": 60,
    "retries": 0,
}
PARAMS = {"train": {"seed": 7}}
CONTRACT = {
    "name": "toy-model",
    "platform": "onnxruntime_onnx",
    "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "label", "datatype": "BYTES", "shape": [-1]}],
    "parameters": {"features": ["length", "width"]},
}
METRICS = {"accuracy": 0.5, "log_loss": 1.25}


def declare(folder: Path, **changes: Any) -> Path:
    """`folder`/toy with a job.yaml that differs from DECLARED in `changes`; None removes a field."""
    job = folder / "toy"
    job.mkdir(exist_ok=True)
    found = {name: value for name, value in {**DECLARED, **changes}.items() if value is not None}
    (job / "job.yaml").write_text(yaml.safe_dump(found), encoding="utf-8")
    return job


def table(features: list[list[float]], labels: list[str]) -> Table:
    return Table(np.array(features, dtype=np.float32), np.array(labels, dtype=np.str_))


def good_table() -> Table:
    random = np.random.default_rng(1)
    rows = [[float(a), float(b)] for a, b in random.uniform(1, 9, size=(40, 2))]
    return table(rows, ["no", "yes"] * 20)


def export(job: Job, changes: dict[str, Any]) -> str:
    evidence = {
        "job": "toy",
        "data": job.digests(),
        "params": {"validate": {}, "train": {"seed": 7}, "evaluate": {}, "export": {}},
        "metrics": METRICS,
        **changes,
    }
    folder = job.folder / "artifact"
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(b"weights")
    (folder / "evidence.json").write_text(json.dumps(evidence), encoding="utf-8")
    (folder / "contract.json").write_text(json.dumps(CONTRACT), encoding="utf-8")
    return write_sums(folder)
