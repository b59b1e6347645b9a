"""The server under the glass: how it is asked, and one request that it should answer."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

from .http1 import Address, Connection, Reply, head_of
from .rule import Departs, NotApplicable, expect
from .tensors import flat, packed, zero

Headers = Iterable[tuple[str, str]]
JSON = ("content-type", "application/json")
OCTETS = "application/octet-stream"
HEADER_LENGTH = "inference-header-content-length"


@dataclass(frozen=True)
class Target:
    """Where a server is, and what it was said to serve."""

    rest: Address | None
    model: str
    grpc: Address | None = None
    version: str | None = None
    request: Mapping[str, Any] | None = None
    max_body: int | None = None
    timeout: float = 5.0


class Probe:
    """Asks one server; what does not change while it runs is asked once."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.root = f"/v2/models/{quote(target.model)}"
        self.infer_path = f"{self.root}/infer"

    @property
    def address(self) -> Address:
        if self.target.rest is None:
            raise NotApplicable("no --rest was given")
        return self.target.rest

    def connect(self) -> Connection:
        return Connection(self.address, self.target.timeout)

    def head(self, method: str, path: str, headers: Headers = (), version: str = "1.1") -> bytes:
        return head_of(method, path, [("host", str(self.address)), *headers], version)

    def message(self, method: str, path: str, body: bytes | None, headers: Headers = ()) -> bytes:
        """One request with content-length."""
        length = [] if body is None else [("content-length", str(len(body)))]
        return self.head(method, path, [*headers, *length]) + (body or b"")

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Headers = ()) -> Reply:
        """One request on a connection of its own."""
        with self.connect() as connection:
            connection.send(self.message(method, path, body, [*headers, ("connection", "close")]))
            return connection.reply(method)

    def get(self, path: str) -> Reply:
        return self.ask("GET", path)

    def infer(self, body: object, headers: Headers = (JSON,), path: str | None = None) -> Reply:
        """A body that is not bytes is sent as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", path or self.infer_path, content, headers)

    def answer(self, body: object, headers: Headers = (JSON,), path: str | None = None) -> dict[str, Any]:
        """The JSON of an inference that must succeed."""
        return answered(self.infer(body, headers, path))

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The model's own, as REST gives it, or gRPC if there is no REST."""
        if self.target.rest is None:
            from .grpc_calls import metadata_over_grpc

            return metadata_over_grpc(self)
        reply = self.get(self.root)
        expect(reply.status == 200, f"the model's metadata: {reply.said}")
        told = reply.json()
        expect(isinstance(told, dict), f"the model's metadata: {reply.said}")
        return dict(told)

    @property
    def version(self) -> str:
        """One that may be asked for."""
        versions = self.metadata.get("versions") or []
        chosen = self.target.version or (str(versions[0]) if versions else None)
        if chosen is None:
            raise NotApplicable("the model's metadata names no versions, and no --version was given")
        return chosen

    @cached_property
    def _request(self) -> dict[str, Any]:
        if self.target.request is not None:
            return dict(self.target.request)
        inputs = self.metadata.get("inputs") or []
        if not inputs:
            raise NotApplicable("the model's metadata declares no inputs; give --request FILE.json")
        return {"inputs": [_zeros(spec) for spec in inputs]}

    @property
    def request(self) -> dict[str, Any]:
        """A valid request as JSON has it, the caller's own copy; values of FP16 do not travel so."""
        told = self.anything
        if any(tensor["datatype"] == "FP16" for tensor in told["inputs"]):
            raise NotApplicable("the model takes FP16, which JSON does not carry")
        return told

    @property
    def anything(self) -> dict[str, Any]:
        """A valid request as values, FP16 or not."""
        return copy.deepcopy(self._request)

    @cached_property
    def reference(self) -> dict[str, Any]:
        """What the server answers to the valid request."""
        return self.answer(self.request)


def answered(reply: Reply) -> dict[str, Any]:
    expect(reply.status == 200, f"a valid request: {reply.said}")
    told = reply.json()
    expect(isinstance(told, dict) and isinstance(told.get("outputs"), list), f"no outputs: {reply.said}")
    return dict(told)


def refused(reply: Reply) -> str:
    """The message of a refusal: an error status and {"error": string}, nothing else."""
    expect(reply.status >= 400, f"accepted: {reply.said}")
    try:
        told = reply.json()
    except Departs:
        raise Departs(
            f'{reply.status}, and the body is not {{"error": string}}: {reply.body[:60]!r}'
        ) from None
    fits = isinstance(told, dict) and list(told) == ["error"] and isinstance(told["error"], str)
    expect(fits, f'the body is not {{"error": string}}: {reply.said}')
    expect(bool(told["error"]), f"the error says nothing: {reply.said}")
    return f"{reply.status} {told['error']}"


def binary_message(request: dict[str, Any], names: Iterable[str] | None = None) -> tuple[bytes, int]:
    """The body with these inputs (default all) as raw bytes behind the JSON, and the size of the JSON."""
    chosen = {tensor["name"] for tensor in request["inputs"]} if names is None else set(names)
    told, raw = copy.deepcopy(request), b""
    for tensor in told["inputs"]:
        if tensor["name"] in chosen:
            content = packed(tensor["datatype"], tensor.pop("data"))
            tensor["parameters"] = {**tensor.get("parameters", {}), "binary_data_size": len(content)}
            raw += content
    text = json.dumps(told).encode()
    return text + raw, len(text)


def binary_headers(length: int) -> list[tuple[str, str]]:
    return [("content-type", OCTETS), (HEADER_LENGTH, str(length))]


def values(tensor: Mapping[str, Any]) -> list[Any]:
    return list(flat(tensor["data"]))


def _zeros(spec: Mapping[str, Any]) -> dict[str, Any]:
    shape = [1 if size < 0 else int(size) for size in spec["shape"]]
    data = [zero(spec["datatype"])] * math.prod(shape)
    return {"name": spec["name"], "datatype": spec["datatype"], "shape": shape, "data": data}
