"""The servers of the serving benchmark, one process on core 0 each: v2serve, KServe's own, one that does nothing."""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

_START_SECONDS = 60.0


class Artifact(Protocol):
    """What is served: its name, its digest, and the folder of its bytes."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def folder(self) -> Path: ...


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[bytes]
    port: int
    grpc_port: int
    ready_seconds: float  # from the start of the process to its first ready answer

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mib(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


@contextmanager
def running(server: str, model: Artifact, **told: str) -> Iterator[Running]:
    """`server` is v2serve, bare (v2serve without observation), kserve or noop; `told` are more variables of v2serve."""
    port, grpc_port = _free_port(), _free_port()
    begin = time.perf_counter()
    process = subprocess.Popen(
        ["taskset", "-c", "0", *_command(server, model, port, grpc_port)],
        env=os.environ | _environment(model, port) | told,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_ready(server, process, port)
        ready = time.perf_counter() - begin
        yield Running(process, port, port if server == "v2serve" else grpc_port, ready)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _command(server: str, model: Artifact, port: int, grpc_port: int) -> list[str]:
    if server == "v2serve":
        return [sys.executable, "-m", "v2serve", "serve"]
    folder = str(model.folder)
    return [sys.executable, "-m", "benchmarks.servers", server, folder, str(port), str(grpc_port)]


def _environment(model: Artifact, port: int) -> dict[str, str]:
    return {
        "V2SERVE_MODEL_NAME": model.name,
        "V2SERVE_MODEL_DIGEST": model.digest,
        "V2SERVE_MODEL_DIR": str(model.folder),
        "V2SERVE_HOST": "127.0.0.1",
        "V2SERVE_PORT": str(port),
        "V2SERVE_THREADS": "1",
    }


def _await_ready(server: str, process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{server} ended with {process.returncode} before it was ready")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=2):
                return
        except OSError:
            time.sleep(0.01)
    raise SystemExit(f"{server} was not ready within {_START_SECONDS:.0f} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _kserve(folder: Path, port: int, grpc_port: int) -> None:
    """KServe's ModelServer over the same ONNX model, as its own custom-model guide has it."""
    import onnxruntime  # type: ignore[import-untyped]
    from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer  # type: ignore[import-untyped]

    outputs = json.loads((folder / "contract.json").read_text())["outputs"]

    class Onnx(Model):  # type: ignore[misc]
        def load(self) -> bool:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self.session = onnxruntime.InferenceSession(folder / "model.onnx", options)
            self.ready = True
            return True

        async def predict(self, payload: InferRequest, *_: Any, **__: Any) -> InferResponse:
            arrays = self.session.run(None, {"x": payload.inputs[0].as_numpy()})
            answered = []
            for output, array in zip(outputs, arrays, strict=True):
                tensor = InferOutput(output["name"], list(array.shape), output["datatype"])
                tensor.set_data_from_numpy(array, binary_data=not payload.inputs[0].data)
                answered.append(tensor)
            return InferResponse(payload.id, self.name, answered)

    model = Onnx(folder.name)
    model.load()
    server = ModelServer(
        http_port=port, grpc_port=grpc_port, enable_grpc=True, workers=1, enable_latency_logging=False
    )
    server.start([model])


def _noop(_: Path, port: int, __: int) -> None:
    """The floor: granian in one process that reads the body and answers as many bytes as v2serve does."""
    import uvloop
    from granian.constants import Interfaces
    from granian.server.embed import Server

    answer, headers = b" " * 200, [("content-type", "application/json")]

    async def application(_: Any, exchange: Any) -> None:
        await exchange()
        exchange.response_bytes(200, headers, answer)

    async def serve() -> None:
        await Server(
            application, "127.0.0.1", port, interface=Interfaces.RSGI, websockets=False, log_enabled=False
        ).serve()

    uvloop.run(serve())


def _bare(_: Path, __: int, ___: int) -> None:
    """v2serve, told by its environment as always, that counts nothing and looks at no data."""
    import v2serve.serve as starting
    from v2serve.contract import Contract
    from v2serve.observe.metrics import LaneCounts, Release
    from v2serve.observe.observer import Observer, Watched
    from v2serve.settings import read_settings

    class Silent(Observer):
        def watch(
            self, release: Release, contract: Contract, folder: Path, lane: LaneCounts | None = None
        ) -> Watched:
            watched = super().watch(release, contract, folder, lane)
            watched.drift = None
            return watched

        def begin(self, watched: Watched) -> None:
            pass

        def answered(self, *_: Any) -> None:
            pass

    vars(starting)["Observer"] = Silent
    starting.serve(read_settings())


_SERVERS = {"kserve": _kserve, "noop": _noop, "bare": _bare}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", choices=_SERVERS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("grpc_port", type=int)
    chosen = parser.parse_args()
    _SERVERS[chosen.server](chosen.folder, chosen.port, chosen.grpc_port)


if __name__ == "__main__":
    main()
