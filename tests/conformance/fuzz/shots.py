"""What is sent: of each kind the message number N of a seed, always the same."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import hpack

from ..grpc_messages import SERVICE, message
from ..http1 import head_of
from ..http2 import DATA, END_HEADERS, END_STREAM, HEADERS, frame
from .mutations import mutated, rewritten

SEEDS = Path(__file__).parent / "seeds"
KINDS = ("json", "binary", "grpc", "http1", "http2")
_STRIDE = 1_000_003  # so that neighbouring seeds share no message


@cache
def seeds(kind: str) -> tuple[bytes, ...]:
    """The files that messages of this kind begin as."""
    return tuple(path.read_bytes() for path in sorted((SEEDS / kind).iterdir()))


def maker(kind: str, path: str, seed: int) -> Callable[[int], bytes]:
    """number -> the bytes of the message; `path` is where the model's inference is."""
    rng = Random()
    make = _MAKERS[kind]

    def made(number: int) -> bytes:
        rng.seed(seed * _STRIDE + number)
        return make(rng, path)

    return made


def _json(rng: Random, path: str) -> bytes:
    body = _json_body(rng)
    extra = [rng.choice(_ODD_FIELDS)] if rng.random() < 0.1 else []
    return _post(path, body, [("content-type", "application/json"), *extra])


def _json_body(rng: Random) -> bytes:
    content = rng.choice(seeds("json"))
    if rng.random() < 0.5:
        return mutated(rng, content, 1 + int(rng.random() * 4))
    return json.dumps(rewritten(rng, _parsed(content), 1 + int(rng.random() * 3))).encode()


@cache
def _parsed(content: bytes) -> Any:
    return json.loads(content)


def _binary(rng: Random, path: str) -> bytes:
    content = rng.choice(seeds("binary"))
    length = int.from_bytes(content[:4], "big")
    text, raw = content[4 : 4 + length], content[4 + length :]
    if rng.random() < 0.5:
        text = json.dumps(rewritten(rng, _parsed(text), 1 + int(rng.random() * 2))).encode()
    if rng.random() < 0.5:
        raw = mutated(rng, raw, 1 + int(rng.random() * 3))
    told = (
        str(len(text))
        if rng.random() < 0.8
        else rng.choice(("-1", "0", "x", "9" * 20, str(len(text) + 7), ""))
    )
    fields = [("content-type", "application/octet-stream"), ("inference-header-content-length", told)]
    return _post(path, text + raw, fields)


_ODD_FIELDS = (
    ("content-encoding", "gzip"), ("content-encoding", "zstd"), ("content-encoding", "x"), ("accept-encoding", "zstd"),
    ("accept-encoding", "gzip;q=x"), ("inference-header-content-length", "5"), ("content-type", "text/plain"),
    ("traceparent", "00-x-y-z"), ("x-odd", "\xff\xfe"), ("accept", "*/*;q=2"), ("content-type", ""),
)  # fmt: skip


def _post(path: str, body: bytes, fields: list[tuple[str, str]]) -> bytes:
    return head_of("POST", path, [("host", "x"), *fields, ("content-length", str(len(body)))]) + body


def _grpc(rng: Random, path: str) -> bytes:
    """A length-prefixed message; the stream around it is in order."""
    content = rng.choice(seeds("grpc"))
    if rng.random() < 0.5:
        content = mutated(rng, content, 1 + int(rng.random() * 4))
    else:
        content = _rewritten_message(rng, content)
    if rng.random() < 0.05:
        return mutated(rng, _prefixed(content), 1)
    return _prefixed(content)


def _prefixed(content: bytes) -> bytes:
    return struct.pack(">BI", 0, len(content)) + content


def _rewritten_message(rng: Random, content: bytes) -> bytes:
    request = message("ModelInferRequest").FromString(content)
    tensor = rng.choice(request.inputs)
    rng.choice(_GRPC_CHANGES)(rng, request, tensor)
    return bytes(request.SerializeToString())


_SIZES = (0, 1, 2, -1, 7, 2**31, 2**62, -(2**63))
_GRPC_CHANGES: tuple[Callable[[Random, Any, Any], object], ...] = (
    lambda rng, _, tensor: tensor.shape.append(rng.choice(_SIZES)),
    lambda rng, _, tensor: tensor.shape.__setitem__(slice(None), [rng.choice(_SIZES) for _ in range(3)]),
    lambda rng, _, tensor: setattr(tensor, "datatype", rng.choice(("FP16", "BYTES", "UINT64", "", "x", "BOOL"))),
    lambda rng, _, tensor: setattr(tensor, "name", rng.choice(("", "x", "words", "features"))),
    lambda rng, _, tensor: tensor.contents.int64_contents.extend([rng.choice(_SIZES)]),
    lambda rng, _, tensor: tensor.contents.bytes_contents.extend([b"\xff" * int(rng.random() * 9)]),
    lambda rng, request, _: request.raw_input_contents.append(rng.randbytes(int(rng.random() * 40))),
    lambda rng, request, _: request.ClearField("raw_input_contents"),
    lambda rng, request, tensor: request.inputs.add().CopyFrom(tensor),
    lambda rng, request, _: request.outputs.add(name=rng.choice(("", "features_out", "x"))),
    lambda rng, request, _: setattr(request, "model_name", rng.choice(("", "x", "iris" * 50))),
    lambda rng, request, _: setattr(request, "id", "i" * int(rng.random() * 2000)),
    lambda rng, request, _: request.parameters["p"].SetInParent(),
)  # fmt: skip


def _http1(rng: Random, path: str) -> bytes:
    """A request whose framing is not in order: it ends its connection."""
    content = rng.choice(seeds("http1")).replace(b"{path}", path.encode())
    return mutated(rng, content, 1 + int(rng.random() * 5))


def _http2(rng: Random, path: str) -> bytes:
    """Frames after the preface, changed within or as a whole."""
    frames = [_frame(rng, number, path) for number in range(1 + int(rng.random() * 8))]
    content = b"".join(frames)
    return mutated(rng, content, 1 + int(rng.random() * 3)) if rng.random() < 0.5 else content


def _frame(rng: Random, number: int, path: str) -> bytes:
    stream = rng.choice((0, 1, 2 * number + 1, 2 * number + 1, 2 * number + 2, 2**31 - 1))
    choice = rng.random()
    if choice < 0.4:
        return frame(HEADERS, END_HEADERS | rng.choice((0, END_STREAM)), 2 * number + 1, request_block(path))
    if choice < 0.6:
        return frame(
            DATA, rng.choice((0, END_STREAM, 8)), stream, rng.choice(seeds("json"))[: int(rng.random() * 300)]
        )
    payload = rng.randbytes(rng.choice((0, 4, 5, 6, 8, 12, 17)))
    return frame(int(rng.random() * 11), int(rng.random() * 256), stream, payload)


@cache
def request_block(path: str, kind: str = "application/json") -> bytes:
    """The head of a POST, compressed; good on any stream, for it refers to nothing before it."""
    fields = {":method": "POST", ":scheme": "http", ":authority": "x", ":path": path, "content-type": kind}
    more = [("te", "trailers")] if kind == "application/grpc" else []
    return bytes(hpack.Encoder().encode([*fields.items(), *more]))


def grpc_stream(stream: int, content: bytes) -> bytes:
    head = request_block(f"/{SERVICE}/ModelInfer", "application/grpc")
    return frame(HEADERS, END_HEADERS, stream, head) + frame(DATA, END_STREAM, stream, content)


_MAKERS: Mapping[str, Callable[[Random, str], bytes]] = {
    "json": _json,
    "binary": _binary,
    "grpc": _grpc,
    "http1": _http1,
    "http2": _http2,
}
