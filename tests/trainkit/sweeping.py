"""A toy job that can be swept: its best is width 3, rate 0.1; without torch, in milliseconds."""

import hashlib
from pathlib import Path
from typing import Any

import yaml

from tests.trainkit.toy import CSV
from trainkit.job import Job, read_job

SWEEP: dict[str, Any] = {
    "metric": "loss",
    "direction": "minimize",
    "max_trials": 8,
    "max_seconds": 60,
    "seed": 7,
    "pruner": {"kind": "none"},
    "search": {
        "train": {
            "rate": {"low": 0.001, "high": 1.0, "log": True},
            "width": {"low": 1, "high": 8},
            "kind": {"choices": ["plain", "it's"]},
        }
    },
}
PARAMS = """\
validate: {}
train:
  rate: 0.5 # learning rate, 1/step
  width: 8
  kind: plain
  steps: 3
"""
OBJECTIVE = """\
import math

from trainkit.sweep import Params, Report


def objective(params: Params, report: Report) -> float:
    train = params["train"]
    loss = abs(math.log10(train["rate"]) + 1) + abs(train["width"] - 3)
    for step in range(train["steps"]):
        report(step, loss + train["steps"] - step)
    return loss
"""
DVC = """\
stages:
  validate:
    cmd: mkdir -p work && touch work/report.json
    deps: [data/toy.csv]
    outs: [work/report.json]
"""


def sweeping(folder: Path, objective: str = OBJECTIVE, **changes: Any) -> Job:
    """`folder`/toy with what a sweep needs; `changes` are of sweep.yaml, None removes a field."""
    (folder / "data").mkdir(exist_ok=True)
    job = folder / "toy"
    job.mkdir(exist_ok=True)
    data = [
        {"name": "toy.csv", "sha256": hashlib.sha256(CSV).hexdigest(), "package": "tests.trainkit/toy.csv"}
    ]
    declared = {"name": "toy", "owner": "testers", "model": "toy-model", "data": data}
    (job / "job.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    (job / "data").mkdir(exist_ok=True)
    (job / "data/toy.csv").write_bytes(CSV)
    found = {name: value for name, value in {**SWEEP, **changes}.items() if value is not None}
    (job / "sweep.yaml").write_text(yaml.safe_dump(found, sort_keys=False), encoding="utf-8")
    for name, text in {"params.yaml": PARAMS, "objective.py": objective, "dvc.yaml": DVC}.items():
        (job / name).write_text(text, encoding="utf-8")
    return read_job(job)
