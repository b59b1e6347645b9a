"""gRPC's rules of an HTTP/2 exchange: the head, the frame around a message, deadlines, and statuses as trailers.

Source: grpc/grpc: doc/PROTOCOL-HTTP2.md, doc/compression.md, doc/statuscodes.md.
"""

import re
from struct import Struct
from urllib.parse import quote

from v2serve.codecs.compression import decompress
from v2serve.protocol import Error, ExtraHeaders, Refusal, encode, shown
from v2serve.wire.exchange import Answer, Headers, Request

_CONTENT = ("content-type", "application/grpc")
_HEADERS: Headers = (_CONTENT,)
_OK: Headers = (("grpc-status", "0"),)
_TAKEN = ("application/grpc", "application/grpc+proto")
_ACCEPTED = ("grpc-accept-encoding", "identity, gzip")
_FRAME = Struct(">BI")  # compressed or not, bytes of the message
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])", re.ASCII)
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")  # what grpc-message holds as it is

_INVALID_ARGUMENT, _DEADLINE_EXCEEDED, _NOT_FOUND, _RESOURCE_EXHAUSTED = 3, 4, 5, 8
_UNIMPLEMENTED, _INTERNAL, _UNAVAILABLE = 12, 13, 14
_CODES = {
    404: _NOT_FOUND,
    405: _UNIMPLEMENTED,
    408: _DEADLINE_EXCEEDED,
    413: _RESOURCE_EXHAUSTED,
    415: _UNIMPLEMENTED,
    429: _UNAVAILABLE,
    431: _RESOURCE_EXHAUSTED,
    500: _INTERNAL,
    501: _UNIMPLEMENTED,
    502: _UNAVAILABLE,
    503: _UNAVAILABLE,
    504: _DEADLINE_EXCEEDED,
}


def answered(message: bytes) -> Answer:
    """One message and the status OK behind it."""
    return Answer(200, _HEADERS, _FRAME.pack(0, len(message)) + message, _OK)


def refused(status: int, message: str, headers: ExtraHeaders = ()) -> Answer:
    """The gRPC status of an HTTP status, alone, where trailers would be."""
    code = _CODES.get(status, _INVALID_ARGUMENT if status < 500 else _INTERNAL)
    told = (("grpc-status", str(code)), ("grpc-message", quote(message, safe=_PRINTABLE, errors="replace")))
    kept = tuple(header for header in headers if header[0].startswith("grpc-"))
    return Answer(200, (_CONTENT, *told, *kept))


def not_grpc(request: Request) -> Answer | None:
    """An answer in HTTP's own words to whoever does not speak gRPC; None: it does."""
    kind = request.headers.get("content-type", "")
    if request.method != "POST":
        return _told(405, f"{request.method} is not offered here; gRPC uses POST", (("allow", "POST"),))
    if kind not in _TAKEN and kind.partition(";")[0].strip().lower() not in _TAKEN:
        return _told(415, f"content-type {shown(kind)} is not taken here; send {_TAKEN[0]}")
    if request.http != "2":
        return _told(
            415, f"gRPC needs HTTP/2, this is HTTP/{request.http}; use a gRPC client, or REST under /v2"
        )
    return None


def _told(status: int, reason: str, headers: ExtraHeaders = ()) -> Answer:
    return Answer(status, (("content-type", "application/json"), *headers), encode(Error(reason)))


def check_head(request: Request) -> None:
    """Refusal for a compression or a deadline that cannot be understood."""
    coding = request.headers.get("grpc-encoding", "identity")
    if coding not in ("identity", "gzip"):
        raise Refusal(501, f"grpc-encoding {shown(coding)} is not taken; send identity or gzip", (_ACCEPTED,))
    timeout = request.headers.get("grpc-timeout")
    if timeout is not None:
        seconds(timeout)


def seconds(timeout: str) -> float:
    """What a grpc-timeout allows: "250m" is 0.25."""
    found = _TIMEOUT.fullmatch(timeout)
    if found is None:
        raise Refusal(
            400, f"grpc-timeout {shown(timeout)} is none; send 1 to 8 digits and one of H, M, S, m, u, n"
        )
    return int(found[1]) * _SECONDS[found[2]]


def message_of(request: Request, limit: int) -> bytes:
    """The one message of a body, decompressed to at most `limit` bytes; Refusal 400, 413 or 501."""
    body = request.body
    if len(body) < _FRAME.size:
        raise Refusal(
            400, f"the body has {len(body)} bytes; a message begins with 5 bytes of flag and length"
        )
    flag, length = _FRAME.unpack_from(body)
    if length != len(body) - _FRAME.size:
        given = len(body) - _FRAME.size
        raise Refusal(
            400, f"the message says it has {length} bytes, the body has {given}; send one whole message"
        )
    message = body[_FRAME.size :]
    return message if flag == 0 else _decompressed(request, flag, message, limit)


def _decompressed(request: Request, flag: int, message: bytes, limit: int) -> bytes:
    if flag != 1:
        raise Refusal(400, f"the message's compressed flag is {flag}; send 0 or 1")
    coding = request.headers.get("grpc-encoding", "identity")
    if coding == "identity":  # compression.md: INTERNAL
        raise Refusal(500, "the message is flagged as compressed without a grpc-encoding; name it")
    return decompress(coding, message, limit)
