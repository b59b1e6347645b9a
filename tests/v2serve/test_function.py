"""v2serve as a Lambda function: a real process, and a runtime API on 127.0.0.1 that hands it events."""

import asyncio
import base64
import contextlib
import json
import queue
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from tests.v2serve.conftest import Artifact
from tests.v2serve.servers import START_LIMIT, end, environment
from v2serve.function import EventError, Function
from v2serve.wire.exchange import Answer, Request

PATH = "/v2/models/iris/infer"
FEATURES = [5.1, 3.5, 1.4, 0.2]
ASKED = {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 4], "data": FEATURES}]}


def event(path: str, body: Any = None, method: str | None = None, **headers: str) -> dict[str, Any]:
    """As an HTTP API sends it in payload format 2.0; a body of bytes travels in base64."""
    binary = isinstance(body, bytes)
    text = base64.b64encode(body).decode() if binary else None if body is None else json.dumps(body)
    told = {
        "version": "2.0",
        "routeKey": "ANY /v2/models/iris/{proxy+}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
        "requestContext": {"http": {"method": method or ("GET" if body is None else "POST"), "path": path}},
        "isBase64Encoded": binary,
    }
    return told if text is None else told | {"body": text}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    events: ClassVar[queue.Queue[Any]]
    said: ClassVar[queue.Queue[tuple[str, Any]]]

    def do_GET(self) -> None:
        assert self.path == "/2018-06-01/runtime/invocation/next"
        event = self.events.get()
        with contextlib.suppress(ConnectionError):  # the function has ended
            self._send(event, {"Lambda-Runtime-Aws-Request-Id": "id-1"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self._send(b"{}", {})
        self.said.put((self.path.removeprefix("/2018-06-01/runtime"), json.loads(body)))

    def _send(self, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in {**headers, "content-length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


class Lambda:
    """The side of AWS: `start` runs the function, `invoke` gives it one event."""

    def __init__(self, told: dict[str, str]) -> None:
        self.events: queue.Queue[bytes] = queue.Queue()
        self.said: queue.Queue[tuple[str, Any]] = queue.Queue()
        handler = type("Handler", (_Handler,), {"events": self.events, "said": self.said})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        address = f"127.0.0.1:{self.server.server_port}"
        self.begin = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "v2serve", "lambda"],
            env=told | {"AWS_LAMBDA_RUNTIME_API": address},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def invoke(self, asked: Any) -> tuple[str, Any]:
        """Where the function answered, and what."""
        self.events.put(json.dumps(asked).encode())
        return self.said.get(timeout=START_LIMIT)

    def ask(self, path: str, body: Any = None, method: str | None = None, **headers: str) -> dict[str, Any]:
        where, response = self.invoke(event(path, body, method, **headers))
        assert where == "/invocation/id-1/response"
        assert set(response) == {"statusCode", "headers", "body", "isBase64Encoded"}
        told: dict[str, Any] = response
        return told

    def close(self) -> str:
        """The function's last words."""
        words = end(self.process)
        self.events.put(b"")
        self.server.shutdown()
        self.server.server_close()
        return words


@contextmanager
def function(artifact: Artifact, **told: str) -> Iterator[Lambda]:
    started = Lambda(environment(*artifact, port=1, **told))
    try:
        yield started
    finally:
        started.close()


@pytest.fixture(scope="module")
def served(artifact: Artifact) -> Iterator[Lambda]:
    with function(artifact, V2SERVE_MAX_BODY_BYTES="65536") as started:
        yield started


def test_a_call_in_json_is_answered_in_json(served: Lambda, artifact: Artifact) -> None:
    answer = served.ask(PATH, ASKED, content_type="application/json")
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False)
    assert answer["headers"]["x-model-digest"] == artifact.digest
    outputs = {output["name"]: output["data"] for output in json.loads(answer["body"])["outputs"]}
    assert outputs["species"] == ["virgínica"]


def test_binary_tensors_travel_in_base64_both_ways(served: Lambda) -> None:
    inputs = [
        {"name": "features", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}
    ]
    asked = {"inputs": inputs, "outputs": [{"name": "label", "parameters": {"binary_data": True}}]}
    head = json.dumps(asked).encode()
    body = head + struct.pack("<4f", *FEATURES)
    told = {"inference_header_content_length": str(len(head)), "content_type": "application/octet-stream"}
    answer = served.ask(PATH, body, **told)
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, True)
    content = base64.b64decode(answer["body"])
    size = int(answer["headers"]["inference-header-content-length"])
    assert json.loads(content[:size])["outputs"][0]["name"] == "label"
    assert struct.unpack("<q", content[size:]) == (2,)


def test_metadata_and_readiness_are_those_of_the_server(served: Lambda) -> None:
    assert json.loads(served.ask("/v2/models/iris")["body"])["name"] == "iris"
    assert served.ask("/v2/models/iris/ready")["statusCode"] == 200


@pytest.mark.parametrize(
    ("path", "body", "method", "status", "reason"),
    [
        ("/v2/models/rose/infer", ASKED, None, 404, "rose"),
        ("/v2/models/%zz", None, None, 400, "without two hexadecimal digits"),
        (PATH, None, "DELETE", 405, "use POST"),
        (PATH, {"inputs": []}, None, 400, "the model takes features"),
        (PATH, b"x" * 65_537, None, 413, "65536 are taken"),
    ],
)
def test_what_the_server_refuses_the_function_refuses(
    served: Lambda, path: str, body: Any, method: str | None, status: int, reason: str
) -> None:
    answer = served.ask(path, body, method)
    assert (answer["statusCode"], reason in json.loads(answer["body"])["error"]) == (status, True), answer


def test_a_body_that_is_not_the_base64_it_claims_is_400(served: Lambda) -> None:
    _, answer = served.invoke(event(PATH, b"") | {"body": "%%%", "isBase64Encoded": True})
    assert (answer["statusCode"], "is not base64" in answer["body"]) == (400, True)


@pytest.mark.parametrize("asked", [{"Records": []}, [], "text", {"version": "1.0", "path": "/v2"}])
def test_an_event_of_something_else_is_an_error_and_the_next_call_is_answered(
    served: Lambda, asked: Any
) -> None:
    where, told = served.invoke(asked)
    assert (where, told["errorType"]) == ("/invocation/id-1/error", "EventError")
    assert "payload format 2.0" in told["errorMessage"]
    assert served.ask("/v2/models/iris/ready")["statusCode"] == 200


def test_bytes_of_another_digest_are_told_to_lambda_before_any_call(artifact: Artifact) -> None:
    started = Lambda(environment(artifact.folder, "sha256:" + "0" * 64, port=1))
    try:
        where, told = started.said.get(timeout=START_LIMIT)
        assert (where, told["errorType"]) == ("/init/error", "StartError")
        assert started.process.wait(timeout=START_LIMIT) == 1
    finally:
        words = started.close()
    assert words.startswith("v2serve: model iris: ")


def test_without_lambda_the_verb_says_who_runs_it(artifact: Artifact) -> None:
    told = environment(*artifact, port=1)
    told.pop("AWS_LAMBDA_RUNTIME_API", None)
    done = subprocess.run(
        [sys.executable, "-m", "v2serve", "lambda"], env=told, capture_output=True, check=False
    )
    assert (done.returncode, b"AWS_LAMBDA_RUNTIME_API is not set" in done.stderr) == (1, True)


def test_the_first_call_is_answered_soon_after_the_start(artifact: Artifact) -> None:
    """The goal is 5 s on a machine of its own (docs/lambda.md has what was measured); this one is shared."""
    with function(artifact) as started:
        assert started.ask(PATH, ASKED)["statusCode"] == 200
        assert time.perf_counter() - started.begin < START_LIMIT


class _Large:
    """An application whose answer Lambda cannot carry."""

    def admit(self, _: Request) -> Answer | None:
        return None

    def answers(self, requests: list[Request]) -> list[Answer]:
        return [
            Answer(200, (("content-type", "application/octet-stream"),), bytes(5 << 20)) for _ in requests
        ]

    def refuse(self, _: Request | None, status: int, message: str) -> Answer:
        return Answer(
            status, (("content-type", "application/json"),), json.dumps({"error": message}).encode()
        )

    def answered(self, request: Request, answer: Answer | None) -> None:
        self.last = (request.path, answer)


async def _respond(app: Any, asked: bytes) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(await Function(app, 1 << 20).response(asked))
    return told


def test_an_answer_that_lambda_cannot_carry_is_413() -> None:
    app = _Large()
    answer = asyncio.run(_respond(app, json.dumps(event(PATH, ASKED)).encode()))
    assert (answer["statusCode"], "6 MiB" in answer["body"]) == (413, True)
    assert app.last[0] == PATH


def test_an_event_that_is_not_json_is_an_error() -> None:
    with pytest.raises(EventError, match="not JSON"):
        asyncio.run(_respond(_Large(), b"{"))
