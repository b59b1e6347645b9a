"""Requests a second of v2serve, of KServe's own Python server and of a no-op server, one core each, side by side."""

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array

from v2serve.artifact import write_sums

SERVERS = ("v2serve", "kserve", "noop")
ROW = [5.1, 3.5, 1.4, 0.2]
REQUEST = {"id": "1", "inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": ROW}]}
PATH = "/v2/models/iris/infer"
CONNECTIONS = 100
_SCRIPT = """
wrk.method = 'POST'
wrk.headers['content-type'] = 'application/json'
wrk.body = 'BODY'
done = function(summary, latency)
    local failed = summary.errors.status
    io.write(string.format('RESULT %d %d %d %d', summary.requests, summary.duration, latency:percentile(99), failed))
end
"""


@dataclass(frozen=True)
class Load:
    """One round: requests a second, the slowest hundredth in ms, processor time of the server per request in us."""

    per_second: float
    p99_ms: float
    cpu_us: float


@dataclass(frozen=True)
class Result:
    server: str
    per_second: float
    p99_ms: float
    cpu_us: float
    start_to_ready_s: float
    resident_mib: float


def main() -> None:
    chosen = _arguments()
    if chosen.only:
        _run_kserve(chosen.folder, chosen.port) if chosen.only == "kserve" else _run_noop(chosen.port)
        return
    with tempfile.TemporaryDirectory() as folder:
        digest = _artifact(Path(folder))
        results = _compare(Path(folder), digest, chosen.rounds, chosen.seconds)
    if chosen.json:
        print(json.dumps({"load": _client(), "results": [asdict(result) for result in results]}, indent=2))
    else:
        _print(results)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each with every server in turn")
    parser.add_argument("--seconds", type=int, default=4, help="seconds of load a round and server")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--only", choices=SERVERS[1:], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _compare(folder: Path, digest: str, rounds: int, seconds: int) -> list[Result]:
    loads: dict[str, list[Load]] = {name: [] for name in SERVERS}
    started: dict[str, list[float]] = {name: [] for name in SERVERS}
    resident: dict[str, float] = {}
    for _ in range(rounds):  # in turn, so that a busy neighbour disturbs all of them alike
        for name in SERVERS:
            with _running(name, folder, digest) as (process, port, ready):
                started[name].append(ready)
                _load(port, 1, process)
                loads[name].append(_load(port, seconds, process))
                resident[name] = _resident_mib(process.pid)
    return [_result(name, loads[name], started[name], resident[name]) for name in SERVERS]


def _result(name: str, loads: list[Load], started: list[float], resident: float) -> Result:
    def median(read: Callable[[Load], float]) -> float:
        return statistics.median(map(read, loads))

    return Result(
        name,
        median(lambda load: load.per_second),
        median(lambda load: load.p99_ms),
        median(lambda load: load.cpu_us),
        statistics.median(started),
        resident,
    )


def _print(results: list[Result]) -> None:
    print(f"server on core 0, {_client()} with {CONNECTIONS} connections on core 1; medians")
    print(f"{'':10}{'req/s':>10}{'p99 ms':>10}{'cpu us/req':>12}{'ready s':>10}{'MiB':>8}")
    for r in results:
        numbers = f"{r.per_second:>10,.0f}{r.p99_ms:>10.2f}{r.cpu_us:>12.1f}"
        print(f"{r.server:10}{numbers}{r.start_to_ready_s:>10.2f}{r.resident_mib:>8.0f}")


def _artifact(folder: Path) -> str:
    """Four measures to a label and three probabilities: as large as the iris model."""
    weights = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    nodes = [
        helper.make_node("Gemm", ["features", "W"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    taken = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 4])]
    given = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3]),
    ]
    graph = helper.make_graph(nodes, "iris", taken, given, [from_array(weights, "W")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    (folder / "contract.json").write_text(json.dumps(_contract()))
    golden = {"request": REQUEST, "response": {"outputs": []}}
    (folder / "golden.json").write_text(json.dumps(golden))
    return write_sums(folder)


def _contract() -> dict[str, Any]:
    return {
        "name": "iris",
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]},
        ],
    }


@contextmanager
def _running(name: str, folder: Path, digest: str) -> Iterator[tuple[subprocess.Popen[bytes], int, float]]:
    """The process on core 0, its port, and the seconds from its start to its first ready answer."""
    port = _free_port()
    command = [sys.executable, "-m", "v2serve", "serve"]
    if name != "v2serve":
        command = [sys.executable, __file__, "--only", name, "--folder", str(folder), "--port", str(port)]
    told = {
        "V2SERVE_MODEL_NAME": "iris",
        "V2SERVE_MODEL_DIGEST": digest,
        "V2SERVE_MODEL_DIR": str(folder),
        "V2SERVE_HOST": "127.0.0.1",
        "V2SERVE_PORT": str(port),
    }
    begin = time.perf_counter()
    process = subprocess.Popen(
        ["taskset", "-c", "0", *command],
        env=os.environ | told,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_ready(process, port)
        yield process, port, time.perf_counter() - begin
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"a server ended with {process.returncode} before it was ready")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=2):
                return
        except OSError:
            time.sleep(0.01)
    raise SystemExit("a server was not ready within 60 s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _client() -> str:
    return "wrk" if shutil.which("wrk") else "an asyncio client"


def _load(port: int, seconds: int, process: subprocess.Popen[bytes]) -> Load:
    before = _cpu_seconds(process.pid)
    count, elapsed, p99 = (_wrk if shutil.which("wrk") else _asyncio_client)(port, seconds)
    used = _cpu_seconds(process.pid) - before
    return Load(count / elapsed, p99, used / count * 1e6)


def _wrk(port: int, seconds: int) -> tuple[int, float, float]:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT.replace("BODY", json.dumps(REQUEST)))
        script.flush()
        command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script.name]
        said = subprocess.run(
            [*command, f"http://127.0.0.1:{port}{PATH}"], capture_output=True, text=True, check=True
        )
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+)", said.stdout)
    if found is None or found[4] != "0":
        raise SystemExit(f"the load failed: {said.stdout}")
    return int(found[1]), int(found[2]) / 1e6, int(found[3]) / 1e3


def _asyncio_client(port: int, seconds: int) -> tuple[int, float, float]:
    os.sched_setaffinity(0, {1})
    return asyncio.run(_ask_for(port, seconds))


async def _ask_for(port: int, seconds: int) -> tuple[int, float, float]:
    taken: list[float] = []
    begin = time.perf_counter()
    await asyncio.gather(*(_ask_again(port, begin + seconds, taken) for _ in range(CONNECTIONS)))
    elapsed = time.perf_counter() - begin
    return len(taken), elapsed, sorted(taken)[int(len(taken) * 0.99)] * 1e3


async def _ask_again(port: int, until: float, taken: list[float]) -> None:
    body = json.dumps(REQUEST).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (begin := time.perf_counter()) < until:
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
        if length is None or b" 200 " not in answer[:16]:
            raise SystemExit(f"the load failed: {answer!r}")
        await reader.readexactly(int(length[1]))
        taken.append(time.perf_counter() - begin)
    writer.close()


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def _run_kserve(folder: Path, port: int) -> None:
    """KServe's ModelServer over the same ONNX model, as its own custom-model guide has it."""
    import onnxruntime  # type: ignore[import-untyped]
    from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer  # type: ignore[import-untyped]

    class Iris(Model):  # type: ignore[misc]
        def load(self) -> bool:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self.session = onnxruntime.InferenceSession(folder / "model.onnx", options)
            self.ready = True
            return True

        async def predict(self, payload: InferRequest, *_: Any, **__: Any) -> InferResponse:
            label, probabilities = self.session.run(None, {"features": payload.inputs[0].as_numpy()})
            outputs = [
                InferOutput("label", list(label.shape), "INT64", data=label.tolist()),
                InferOutput(
                    "probabilities", list(probabilities.shape), "FP32", data=probabilities.ravel().tolist()
                ),
            ]
            return InferResponse(payload.id, self.name, outputs)

    model = Iris("iris")
    model.load()
    ModelServer(http_port=port, enable_grpc=False, workers=1, enable_latency_logging=False).start([model])


def _run_noop(port: int) -> None:
    """The floor: granian in one process that reads the body and answers as many bytes as v2serve does."""
    from v2serve.listener import SocketServer, listen

    answer, headers = b" " * 200, [("content-type", "application/json")]

    async def application(_: Any, exchange: Any) -> None:
        await exchange()
        exchange.response_bytes(200, headers, answer)

    async def serve() -> None:
        await SocketServer(application, listen("127.0.0.1", port)).serve()

    import uvloop

    uvloop.run(serve())


if __name__ == "__main__":
    main()
