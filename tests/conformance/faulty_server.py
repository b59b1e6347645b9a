"""A small V2 server that gives back what it takes, and does wrong what it is told to do wrong."""

from __future__ import annotations

import json
import math
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .tensors import DATATYPES, flat, packed, unpacked

INPUTS: list[dict[str, Any]] = [
    {"name": "x", "datatype": "FP32", "shape": [-1, 2]},
    {"name": "n", "datatype": "INT64", "shape": [-1]},
]
OUTPUTS: list[dict[str, Any]] = [{**spec, "name": f"{spec['name']}_out"} for spec in INPUTS]
REQUEST = {
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1.5, -2.0, 3.0, 4.25]},
        {"name": "n", "datatype": "INT64", "shape": [3], "data": [1, 2, 3]},
    ]
}


class Refusal(Exception):
    pass


class FaultyServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, faults: frozenset[str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults = faults


@contextmanager
def serving(*faults: str) -> Iterator[int]:
    """The port of a server with these faults."""
    server = FaultyServer(frozenset(faults))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    server: FaultyServer
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is http.server's)
        """Nothing: a test says what it saw."""

    def has(self, fault: str) -> bool:
        return fault in self.server.faults

    def do_GET(self) -> None:
        answer = self._reads().get(self.path)
        if answer is None:
            self._refuse(404, f"no such path: {self.path}")
        else:
            self._send(503 if self.path.endswith("health/ready") and self.has("unready") else 200, answer)

    def _reads(self) -> dict[str, object]:
        server = {"name": "faulty", "version": "1", "extensions": ["binary_tensor_data"]}
        if self.has("no extensions"):
            del server["extensions"]
        tensors = [{**spec, "datatype": "float"} for spec in INPUTS] if self.has("odd datatype") else INPUTS
        model = {"name": "m", "platform": "test_none", "inputs": tensors, "outputs": OUTPUTS}
        return {
            "/v2": server,
            "/v2/": server,
            "/v2/health/live": {"live": "yes" if self.has("live is a word") else True},
            "/v2/health/ready": {"ready": not self.has("unready")},
            "/v2/models/m": model,
            "/v2/models/m/ready": {"name": "m", "ready": True},
        }

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path != "/v2/models/m/infer" and not self.has("any model"):
            self._refuse(404, f"no such path: {self.path}")
            return
        try:
            self._infer(body)
        except Refusal as refusal:
            self._refuse(500 if self.has("500") else 400, str(refusal))
        except (ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError) as error:
            self._refuse(500 if self.has("500") else 400, f"{type(error).__name__}: {error}")

    def _infer(self, body: bytes) -> None:
        length = int(self.headers.get("inference-header-content-length", len(body)))
        if not 0 < length <= len(body):
            raise Refusal(f"header length {length}")
        kind = self.headers.get("content-type", "")
        if kind == "application/octet-stream" and "inference-header-content-length" not in self.headers:
            raise Refusal("no header length")
        request = json.loads(body[:length])
        tensors = Reading(self, body[length:]).tensors(request)
        self._answer(request, tensors)

    def _answer(self, request: dict[str, Any], tensors: dict[str, tuple[dict[str, Any], list[Any]]]) -> None:
        wanted = {output["name"]: output for output in request.get("outputs") or []}
        if unknown := set(wanted) - {spec["name"] for spec in OUTPUTS}:
            raise Refusal(f"unknown outputs {unknown}")
        given = {} if self.has("every output") else wanted
        raw, outputs = b"", []
        for spec in OUTPUTS:
            if not given or spec["name"] in given:
                tensor, values = tensors[spec["name"].removesuffix("_out")]
                told = {"name": spec["name"], "datatype": spec["datatype"], "shape": tensor["shape"]}
                raw += self._output(told, values, self._binary(request, wanted.get(spec["name"], {})))
                outputs.append(told)
        self._reply(request, outputs, raw)

    def _binary(self, request: dict[str, Any], output: dict[str, Any]) -> bool:
        whole = bool((request.get("parameters") or {}).get("binary_data_output"))
        own = (output.get("parameters") or {}).get("binary_data")
        return whole if own is None or self.has("whole wins") else bool(own)

    def _output(self, told: dict[str, Any], values: list[Any], binary: bool) -> bytes:
        if not binary:
            told["data"] = values[:-1] if self.has("a value short") else values
            return b""
        content = packed(told["datatype"], values)
        told["parameters"] = {"binary_data_size": len(content) + self.has("sizes too large")}
        return content

    def _reply(self, request: dict[str, Any], outputs: list[dict[str, Any]], raw: bytes) -> None:
        answer: dict[str, object] = {
            "model_name": "other" if self.has("another name") else "m",
            "outputs": outputs,
        }
        if "id" in request and not self.has("id forgotten"):
            answer["id"] = request["id"]
        if self.has("null"):
            answer["model_version"] = None
        text = json.dumps(answer).encode()
        length = {"inference-header-content-length": str(len(text))} if raw else {}
        self._write(200, text + raw, "application/octet-stream" if raw else "application/json", length)

    def _refuse(self, status: int, message: str) -> None:
        told: dict[str, object] = {"detail" if self.has("detail") else "error": message}
        if self.has("more than the error"):
            told["code"] = 7
        self._send(status, told)

    def _send(self, status: int, told: object) -> None:
        self._write(
            status, json.dumps(told).encode(), "text/html" if self.has("html") else "application/json", {}
        )

    def _write(self, status: int, content: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


class Reading:
    """The inputs of a request, checked."""

    def __init__(self, handler: Handler, raw: bytes) -> None:
        self._has, self._raw = handler.has, raw

    def tensors(self, request: dict[str, Any]) -> dict[str, tuple[dict[str, Any], list[Any]]]:
        for key, kind in (("id", str), ("parameters", dict)):
            if not isinstance(request.get(key, kind()), kind):
                raise Refusal(f"{key} is no {kind.__name__}")
        if any(isinstance(value, dict) for value in request.get("parameters", {}).values()):
            raise Refusal("a parameter is an object")
        tensors = {tensor["name"]: (tensor, self._values(tensor)) for tensor in request["inputs"]}
        if sorted(tensors) != ["n", "x"] or len(request["inputs"]) != 2:
            raise Refusal(f"inputs {list(tensors)}")
        if self._raw and not self._has("trailing bytes"):
            raise Refusal(f"{len(self._raw)} bytes too many")
        return tensors

    def _values(self, tensor: dict[str, Any]) -> list[Any]:
        datatype, shape = tensor["datatype"], tensor["shape"]
        if datatype not in DATATYPES or not all(type(size) is int and size >= 0 for size in shape):
            raise Refusal(f"datatype {datatype!r}, shape {shape!r}")
        declared = next((spec for spec in INPUTS if spec["name"] == tensor["name"]), None)
        if declared is None or declared["datatype"] != datatype or not _fits(shape, declared["shape"]):
            raise Refusal(f"{tensor['name']}: {datatype} {shape} is not what the model takes")
        values = (
            self._binary(tensor) if "binary_data_size" in (tensor.get("parameters") or {}) else _given(tensor)
        )
        if len(values) != math.prod(shape) and not self._has("any count"):
            raise Refusal(f"{len(values)} values for {shape}")
        return values

    def _binary(self, tensor: dict[str, Any]) -> list[Any]:
        size = tensor["parameters"]["binary_data_size"]
        if "data" in tensor or not 0 <= size <= len(self._raw):
            raise Refusal(f"binary_data_size {size!r}")
        content, self._raw = self._raw[:size], self._raw[size:]
        if size % 4 or size % {"FP32": 4, "INT64": 8}[tensor["datatype"]]:
            raise Refusal(f"{size} bytes")
        if self._has("big-endian"):
            width = {"FP32": 4, "INT64": 8}[tensor["datatype"]]
            content = b"".join(content[i : i + width][::-1] for i in range(0, size, width))
        return unpacked(tensor["datatype"], content)


def _fits(shape: list[int], declared: Any) -> bool:
    return len(shape) == len(declared) and all(
        want in (-1, size) for size, want in zip(shape, declared, strict=True)
    )


def _given(tensor: dict[str, Any]) -> list[Any]:
    data = tensor["data"]
    if not isinstance(data, list) or len(_depths(data)) > 1:
        raise Refusal("ragged data")
    values = list(flat(data))
    packed(tensor["datatype"], values)  # the range and the kind of each
    return values


def _depths(data: object) -> set[int]:
    return {1 + depth for part in data for depth in _depths(part)} if isinstance(data, list) and data else {0}
