"""Write the artifact of a classifier: graph, contract, golden answer, reference, card, evidence, sums."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from trainkit.artifact import emptied, write_sums
from trainkit.card import model_card
from trainkit.documents import read_json, rounded, shortest, write_json
from trainkit.graph import infer, tensors
from trainkit.job import read_job
from trainkit.params import all_params
from trainkit.parity import check_parity
from trainkit.reference import reference
from trainkit.stage import ARTIFACT, METRICS
from trainkit.table import Schema, Table

PLATFORM = "onnxruntime_onnx"


@dataclass(frozen=True)
class Limits:
    """Section `export` of params.yaml; `tolerance` is the largest absolute difference of a probability."""

    golden_rows: int
    tolerance: float


@dataclass(frozen=True)
class Export:
    """What a job hands over; `scores` are the source's answers on all rows, by the graph's output name."""

    graph: onnx.ModelProto
    table: Table
    schema: Schema
    labels: NDArray[np.str_]
    scores: Mapping[str, NDArray[Any]]
    about: Mapping[str, str]
    method: str


def export_artifact(export: Export, limits: Limits) -> str:
    """Write `artifact/` in the job's folder, the current one; a line with the digest and the parity."""
    job, content = read_job(Path()), export.graph.SerializeToString(deterministic=True)
    answers = infer(content, export.table.features)
    largest = check_parity(answers, export.labels, dict(export.scores), limits.tolerance)
    evidence = {
        "job": job.name,
        "method": export.method,
        "metrics": read_json(METRICS, "run the stage evaluate first (dvc repro)"),
        "rows": len(export.table),
        "data": job.digests(),
        "params": all_params(Path()),
        "parity": {"largest_difference": rounded(largest, 9), "tolerance": limits.tolerance},
    }
    digest = _write(job.model, content, export, evidence, limits)
    return f"{digest}, largest difference from the source {largest:.1e} of {limits.tolerance:g} allowed"


def _write(model: str, content: bytes, export: Export, evidence: dict[str, Any], limits: Limits) -> str:
    folder = emptied(ARTIFACT)
    (folder / "model.onnx").write_bytes(content)
    write_json(folder / "contract.json", contract(model, export.graph, export.schema))
    write_json(folder / "golden.json", golden(content, export.table, limits))
    write_json(folder / "reference.json", reference(export.table, export.schema))
    write_json(folder / "evidence.json", evidence)
    card = model_card(export.about, export.schema, evidence["metrics"], evidence)
    (folder / "model-card.md").write_text(card, encoding="utf-8")
    return write_sums(folder)


def contract(model: str, graph: onnx.ModelProto, schema: Schema) -> dict[str, Any]:
    """V2 model metadata, read from the graph itself: the two cannot differ."""
    return {
        "name": model,
        "platform": PLATFORM,
        "inputs": tensors(graph.graph.input),
        "outputs": tensors(graph.graph.output),
        "parameters": {"features": list(schema.names), "labels": sorted(schema.classes)},
    }


def golden(content: bytes, table: Table, limits: Limits) -> dict[str, Any]:
    """A V2 request with real rows, spread over the table, and what ONNX Runtime answers."""
    rows = np.linspace(0, len(table) - 1, limits.golden_rows).astype(np.intp)
    features = table.features[rows]
    return {
        "request": {"id": "golden", "inputs": [tensor("features", features)]},
        "response": {"outputs": [tensor(name, values) for name, values in infer(content, features).items()]},
        "tolerance": limits.tolerance,
    }


def tensor(name: str, values: NDArray[Any]) -> dict[str, Any]:
    """A V2 tensor of float32 or text, data flat and row-major."""
    text = values.dtype.kind not in "fiu"
    return {
        "name": name,
        "datatype": "BYTES" if text else "FP32",
        "shape": list(values.shape),
        "data": [str(value) for value in values.reshape(-1)] if text else shortest(values),
    }
