"""v2serve beside KServe's own Python server and one that does nothing: a core for the server, a core for the load."""

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.artifacts import Benched, cnn, iris, wide
from benchmarks.load import Load, Plan, http_message, load
from benchmarks.servers import running

CONNECTIONS = 100
RATE = 5000  # requests a second offered in the open loop
GRPC_PATH = "/inference.GRPCInferenceService/ModelInfer"
BATCH = {"V2SERVE_MAX_BATCH": "64", "V2SERVE_QUEUE": "256"}


@dataclass(frozen=True)
class Case:
    """One server asked one thing; `name` is what is asked, `variant` how the server was set."""

    name: str
    model: str
    server: str
    wire: str = "json"  # json, binary or grpc
    rate: int = 0
    variant: str = ""
    told: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """Medians over the rounds: answers a second, latencies in ms, processor time in us a request, MiB, seconds."""

    name: str
    server: str
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    ready_s: float
    resident_mib: float
    failed: int


@dataclass(frozen=True)
class Goal:
    """`row` does at least `at_least` times what `other` does, in requests a second."""

    row: tuple[str, str]
    other: tuple[str, str]
    at_least: float


CASES = (
    *(Case("iris JSON", "iris", server) for server in ("v2serve", "kserve", "noop")),
    Case("iris JSON", "iris", "bare"),
    Case(f"iris JSON, {RATE}/s offered", "iris", "v2serve", rate=RATE),
    *(Case("CNN JSON", "cnn", server) for server in ("v2serve", "kserve", "noop")),
    *(Case("CNN binary", "cnn", server, "binary") for server in ("v2serve", "kserve", "noop")),
    *(Case("iris gRPC raw", "iris", server, "grpc") for server in ("v2serve", "kserve")),
    Case("wide JSON", "wide", "v2serve"),
    Case("wide JSON", "wide", "v2serve", variant=", batches", told=BATCH),
)
GOALS = (
    Goal(("iris JSON", "v2serve"), ("iris JSON", "kserve"), 20),
    Goal(("iris JSON", "v2serve"), ("iris JSON", "noop"), 0.7),
    Goal(("iris JSON", "v2serve"), ("iris JSON", "bare"), 0.95),
    Goal(("CNN JSON", "v2serve"), ("CNN JSON", "kserve"), 4),
    Goal(("CNN binary", "v2serve"), ("CNN binary", "kserve"), 30),
    Goal(("CNN binary", "v2serve"), ("CNN binary", "noop"), 0.6),
    Goal(("iris gRPC raw", "v2serve"), ("iris gRPC raw", "kserve"), 5),
    Goal(("wide JSON", "v2serve, batches"), ("wide JSON", "v2serve"), 5),
)


def main() -> None:
    chosen = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        models = {made.name: made for made in (make(Path(folder)) for make in (iris, cnn, wide))}
        cases = [case for case in CASES if chosen.only in f"{case.name} {case.server}{case.variant}"]
        rows = _measure(cases, models, chosen.rounds, chosen.seconds)
    if chosen.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        _print(rows)
    if chosen.plot:
        _plot(rows, chosen.plot)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Example: python -m benchmarks.serving --only iris --rounds 5"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each with every server in turn")
    parser.add_argument("--seconds", type=float, default=3, help="seconds of load a round and server")
    parser.add_argument("--only", default="", help="only cases with this in their name")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--plot", type=Path, help="write a plot to this file, .svg or .png")
    return parser.parse_args()


def _measure(cases: list[Case], models: dict[str, Benched], rounds: int, seconds: float) -> list[Row]:
    seen: dict[tuple[str, str], list[Row]] = {}
    for _ in range(rounds):  # in turn, so that a busy neighbour disturbs all of them alike
        for case in cases:
            row = _round(case, models[case.model], seconds)
            seen.setdefault((row.name, row.server), []).append(row)
    return [_median(rows) for rows in seen.values()]


def _round(case: Case, model: Benched, seconds: float) -> Row:
    message = _message(case.wire, model)
    with running(case.server, model, **case.told) as server:
        port = server.grpc_port if case.wire == "grpc" else server.port
        path = GRPC_PATH if case.wire == "grpc" else ""
        load(Plan(port, CONNECTIONS, 1, 0, path), message)
        before = server.cpu_seconds()
        seen = load(Plan(port, CONNECTIONS, seconds, case.rate, path), message)
        used = (server.cpu_seconds() - before) / (seen.per_second * seconds) * 1e6
        resident = server.resident_mib()
    return _row(case, seen, used, server.ready_seconds, resident)


def _row(case: Case, seen: Load, used: float, ready: float, resident: float) -> Row:
    name = f"{case.server}{case.variant}"
    return Row(case.name, name, seen.per_second, seen.p50_ms, seen.p99_ms, used, ready, resident, seen.failed)


def _median(rows: list[Row]) -> Row:
    told = [asdict(row) for row in rows]
    numbers = {
        key: statistics.median(one[key] for one in told) for key in told[0] if key not in ("name", "server")
    }
    numbers["failed"] = sum(row.failed for row in rows)
    return Row(rows[0].name, rows[0].server, **numbers)


def _message(wire: str, model: Benched) -> bytes:
    path = f"/v2/models/{model.name}/infer"
    if wire == "json":
        return http_message(path, json.dumps(model.request()).encode(), content_type="application/json")
    raw = model.values().tobytes()
    if wire == "grpc":
        return _grpc_message(model, raw)
    tensor = {
        "name": "x",
        "shape": list(model.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(raw)},
    }
    told = {"id": "1", "parameters": {"binary_data_output": True}, "inputs": [tensor]}
    head = json.dumps(told).encode()
    kind = "application/octet-stream"
    return http_message(path, head + raw, content_type=kind, inference_header_content_length=str(len(head)))


def _grpc_message(model: Benched, raw: bytes) -> bytes:
    from v2serve.codecs.open_inference import message_class

    tensor = {"name": "x", "datatype": "FP32", "shape": list(model.shape)}
    request = message_class("inference.ModelInferRequest")(
        model_name=model.name, id="1", inputs=[tensor], raw_input_contents=[raw]
    )
    return bytes(request.SerializeToString())


def _print(rows: list[Row]) -> None:
    client = "wrk" if shutil.which("wrk") else "benchmarks.load"
    print(
        f"server on core 0, {CONNECTIONS} connections of {client} (gRPC and offered load: benchmarks.load) from core 1;"
    )
    print("every server in turn, medians of the rounds")
    print(f"{'':42}{'req/s':>9}{'p50 ms':>8}{'p99 ms':>9}{'cpu us':>8}{'ready s':>9}{'MiB':>6}{'failed':>8}")
    for r in rows:
        numbers = f"{r.per_second:>9,.0f}{r.p50_ms:>8.2f}{r.p99_ms:>9.2f}{r.cpu_us:>8.1f}"
        print(f"{r.name:25}{r.server:17}{numbers}{r.ready_s:>9.2f}{r.resident_mib:>6.0f}{r.failed:>8}")
    print()
    print("requests a second, and, steadier beside busy neighbours, requests a second of processor time:")
    for goal, ratio, by_cpu in _ratios(rows):
        verdict = "yes" if ratio >= goal.at_least else "NO"
        what = f"{goal.row[0]}: {goal.row[1]} / {goal.other[1]}"
        print(f"{what:44} {ratio:6.2f} ({by_cpu:5.2f})  wanted {goal.at_least:g}: {verdict}")


def _ratios(rows: Iterable[Row]) -> list[tuple[Goal, float, float]]:
    known = {(row.name, row.server): row for row in rows}
    pairs = [(g, known[g.row], known[g.other]) for g in GOALS if g.row in known and g.other in known]
    return [(g, row.per_second / other.per_second, other.cpu_us / row.cpu_us) for g, row, other in pairs]


def _plot(rows: list[Row], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg" if path.suffix == ".svg" else "agg")
    from matplotlib import pyplot

    closed = [row for row in rows if "offered" not in row.name]
    figure, axes = pyplot.subplots(figsize=(8, 0.35 * len(closed) + 1), layout="constrained")
    places = range(len(closed))
    bars = axes.barh(
        places, [row.per_second for row in closed], color=[_colour(row.server) for row in closed]
    )
    axes.bar_label(bars, [f"{row.per_second:,.0f}" for row in closed], padding=3)
    axes.set_yticks(places, [f"{row.name}: {row.server}" for row in closed])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("requests a second on one core (logarithmic)")
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    print(f"plot: {path}")


def _colour(server: str) -> str:
    return "#1f6f8b" if server.startswith(("v2serve", "bare")) else "#c9ced6"


if __name__ == "__main__":
    main()
