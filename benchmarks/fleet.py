"""Every model that the embedded environment serves: its bar and what it reaches, its size, its speed on one core."""

import argparse
import base64
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from benchmarks.load import Load, Plan, http_message, load
from benchmarks.servers import running
from infra.declarations.environment import Environment
from infra.declarations.model import ServedModel
from infra.declarations.release import Release
from infra.manifests.serving import inference_service
from mainline.asked import golden_request
from mainline.places import EMBEDDED, Places, find_places
from mainline.truth import truth

USERS = 100
RATE = 1000  # requests a second offered


@dataclass(frozen=True)
class Released:
    """An artifact in the store, the variables that its server is told, and its declaration."""

    name: str
    digest: str
    folder: Path
    declared: ServedModel
    evidence: Mapping[str, float]
    request: Mapping[str, Any]
    told: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """`metric`, its `bar`, and what the released version and the baseline reach; times are of the offered load."""

    model: str
    metric: str
    bar: str
    reached: float
    baseline: float | None
    graph_mb: float
    artifact_mb: float
    ready_s: float
    resident_mib: float
    offered: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    per_second: float
    failed: int


def main() -> None:
    chosen = _arguments()
    rows = [
        _measured(released, chosen.seconds, chosen.rate)
        for released in _released(find_places(Path()))
        if chosen.only in released.name
    ]
    if not rows:
        raise SystemExit("nothing is released to the embedded environment; run `make fleet` first")
    print(json.dumps([asdict(row) for row in rows], indent=2)) if chosen.json else _print(rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Example: python -m benchmarks.fleet --only iris"
    )
    parser.add_argument("--seconds", type=float, default=5, help="seconds of each load")
    parser.add_argument("--rate", type=int, default=RATE, help="requests a second that are offered")
    parser.add_argument("--only", default="", help="only models with this in their name")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def _released(places: Places) -> Iterator[Released]:
    where = truth(places, EMBEDDED)
    declared = where.declared(where.head())
    for (model, environment), release in sorted(declared.releases.items()):
        if environment == EMBEDDED:
            yield _one(places, declared.models[model], where.environment, release)


def _one(places: Places, model: ServedModel, environment: Environment, release: Release) -> Released:
    stable = release.stable
    folder = places.store / model.name / stable.digest[7:]
    request = golden_request(places, model.name, stable.digest)
    told = _told(model, environment, release) | {"V2SERVE_STORAGE_URI": ""}
    return Released(model.name, stable.digest, folder, model, dict(stable.evidence), request, told)


def _told(model: ServedModel, environment: Environment, release: Release) -> dict[str, str]:
    """What a cluster's pod is told of lanes and threads."""
    manifest = inference_service(model, environment, release.stable, "stable")
    variables = manifest["spec"]["predictor"]["model"]["env"]
    lanes = ("CONCURRENCY", "QUEUE", "MAX_BATCH", "DEADLINE_SECONDS", "THREADS")
    wanted = {f"V2SERVE_{lane}" for lane in lanes}
    return {one["name"]: one["value"] for one in variables if one["name"] in wanted}


def _measured(released: Released, seconds: float, rate: int) -> Row:
    message = _message(released)
    with running("v2serve", released, **released.told) as server:
        load(Plan(server.port, USERS, 1), message)
        offered = load(Plan(server.port, USERS, seconds, rate), message)
        most = load(Plan(server.port, USERS, seconds), message)
        return _row(released, rate, offered, most, server.ready_seconds, server.resident_mib())


def _row(released: Released, rate: int, offered: Load, most: Load, ready: float, resident: float) -> Row:
    gate = released.declared.gates[0]
    bar = f">= {gate.at_least:g}" if gate.at_least is not None else f"<= {gate.at_most:g}"
    sizes = {path.name: path.stat().st_size / 1e6 for path in released.folder.rglob("*") if path.is_file()}
    return Row(
        model=released.name,
        metric=gate.metric,
        bar=bar,
        reached=released.evidence[gate.metric],
        baseline=released.evidence.get(f"baseline_{gate.metric}"),
        graph_mb=round(sizes["model.onnx"], 3),
        artifact_mb=round(sum(sizes.values()), 3),
        ready_s=round(ready, 2),
        resident_mib=round(resident),
        offered=rate,
        p50_ms=round(offered.p50_ms, 2),
        p95_ms=round(offered.p95_ms, 2),
        p99_ms=round(offered.p99_ms, 2),
        per_second=round(most.per_second),
        failed=offered.failed + most.failed,
    )


def _message(released: Released) -> bytes:
    """The first row of the first golden request: JSON, but for images, which go as JPEG in binary data."""
    request = released.request
    tensors = [_first_row(tensor) for tensor in request["inputs"]]
    path = f"/v2/models/{released.name}/infer"
    image = _jpeg(tensors[0]["data"][0]) if tensors[0]["datatype"] == "BYTES" else None
    if image is None:
        body = json.dumps({**request, "inputs": tensors}).encode()
        return http_message(path, body, content_type="application/json")
    raw = len(image).to_bytes(4, "little") + image
    told = {key: tensors[0][key] for key in ("name", "datatype", "shape")}
    head = json.dumps({"inputs": [{**told, "parameters": {"binary_data_size": len(raw)}}]}).encode()
    kind, length = "application/octet-stream", str(len(head))
    return http_message(path, head + raw, content_type=kind, inference_header_content_length=length)


def _jpeg(text: str) -> bytes | None:
    """The image of a golden request, which is JSON and so has it in base64, as a camera would send it."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as image:
            target = io.BytesIO()
            image.convert("RGB").save(target, "JPEG", quality=90)
            return target.getvalue()
    except (ValueError, UnidentifiedImageError):
        return None


def _first_row(tensor: dict[str, Any]) -> dict[str, Any]:
    rows, *rest = tensor["shape"]
    data = _flat(tensor["data"])
    return {**tensor, "shape": [1, *rest], "data": data[: len(data) // rows]}


def _flat(data: list[Any]) -> list[Any]:
    while data and isinstance(data[0], list):
        data = [value for row in data for value in row]
    return data


def _print(rows: list[Row]) -> None:
    print(
        f"v2serve on core 0, {USERS} connections from core 1: {rows[0].offered}/s offered, then as many as it answers"
    )
    ends = f"{'MB':>7}{'p50 ms':>8}{'p95':>8}{'p99':>8}{'req/s':>8}{'MiB':>6}{'failed':>8}"
    print(f"{'model':20}{'metric':>14}{'bar':>10}{'base':>8}{'reached':>9}{ends}")
    for row in rows:
        base = "" if row.baseline is None else f"{row.baseline:.4g}"
        print(
            f"{row.model:20}{row.metric:>14}{row.bar:>10}{base:>8}{row.reached:>9.4g}{row.artifact_mb:>7.2f}"
            f"{row.p50_ms:>8.1f}{row.p95_ms:>8.1f}{row.p99_ms:>8.1f}{row.per_second:>8,}{row.resident_mib:>6.0f}{row.failed:>8}"
        )


if __name__ == "__main__":
    main()
