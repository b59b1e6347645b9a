"""`make mlflow`: MLflow's own pages over the embedded registry, on this machine only, until Ctrl-C."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from mainline.errors import Refusal
from mainline.places import Places, find_places
from mainline.registry import Registry

HOST = "127.0.0.1"
_START_SECONDS = 120.0
_GRACE_SECONDS = 10.0
# Nothing is reported to anybody, and no workers run for features that a registry does not need.
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


def show_registry(places: Places, port: int, say: Callable[[str], None]) -> None:
    """Serve until interrupted; `port` 0 takes a free one. Refusal without a registry, or where it does not start."""
    uri = f"sqlite:///{places.registry}"
    Registry(uri).probe()
    chosen = port or _free_port()
    log = places.state / "logs" / "mlflow.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--workers", "1",
             "--default-artifact-root", places.run_artifacts.as_uri(), "--host", HOST, "--port", str(chosen)],
            env={**os.environ, **_SETTINGS}, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        _await(server, chosen, log)
        say(f"MLflow at http://{HOST}:{chosen} (Ctrl-C ends it)")
        if server.wait():
            raise Refusal(f"MLflow ended with exit code {server.returncode}; {log} says why")
    finally:
        _end(server)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _await(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while not _answers(port):
        if server.poll() is not None:
            raise Refusal(f"MLflow did not start on port {port} (is it taken?); {log} says why")
        if time.monotonic() > end:
            raise Refusal(f"MLflow did not answer within {_START_SECONDS:g} s; {log} says why")
        time.sleep(0.2)


def _answers(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{HOST}:{port}/health", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server and its workers, which are a process group of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(_GRACE_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m mainline.registry_ui", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    chosen = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        show_registry(find_places(Path()), chosen.port, _say)
    except Refusal as refusal:
        sys.stderr.write(f"mainline: {refusal}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
