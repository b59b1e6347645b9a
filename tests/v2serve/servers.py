"""A real server process on 127.0.0.1, and the plainest client for it."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_LIMIT = 20.0


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        assert list(self.json) == ["error"]
        return str(self.json["error"])


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    port: int

    def ask(self, path: str, body: Any = None, method: str | None = None, **headers: str) -> Reply:
        """One request on a connection of its own; a body that is not bytes is sent as JSON."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        if body is not None:
            named.setdefault("content-type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, content, named)
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def infer(self, body: Any, **headers: str) -> Reply:
        return self.ask("/v2/models/iris/infer", body, **headers)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(folder: Path, digest: str, port: int, **told: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("V2SERVE_")}
    served = {
        "V2SERVE_MODEL_NAME": "iris",
        "V2SERVE_MODEL_DIGEST": digest,
        "V2SERVE_MODEL_VERSION": "4",
        "V2SERVE_MODEL_RUN": "run-1",
        "V2SERVE_MODEL_DIR": str(folder),
        "V2SERVE_HOST": "127.0.0.1",
        "V2SERVE_PORT": str(port),
        "V2SERVE_DRAIN_SECONDS": "0.1",
    }
    return kept | served | told


def start(told: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "v2serve", "serve"]
    return subprocess.Popen(command, env=told, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def end(process: subprocess.Popen[bytes]) -> str:
    """Its last words, after SIGTERM; killed if it does not end."""
    process.terminate()
    try:
        return process.communicate(timeout=15)[1].decode()
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise


@contextmanager
def running(folder: Path, digest: str, **told: str) -> Iterator[Running]:
    port = free_port()
    process = start(environment(folder, digest, port, **told))
    try:
        server = Running(process, port)
        await_ready(server)
        yield server
    finally:
        end(process)


def await_ready(server: Running) -> None:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise AssertionError(f"the server ended: {server.process.communicate()[1].decode()}")
        try:
            if server.ask("/v2/health/ready").status == 200:
                return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"not ready within {START_LIMIT} s")


def refused(told: dict[str, str]) -> str:
    """The one line of a server that must not start; asserts exit code 1."""
    process = start(told)
    try:
        words = process.communicate(timeout=START_LIMIT)[1].decode()
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 1, words
    assert words.startswith("v2serve: ")
    assert words.count("\n") == 1, words
    return words.strip()
