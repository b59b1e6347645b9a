"""How messages are sent and what must come of them: an answer that is no 5xx, or a connection that is closed."""

from __future__ import annotations

import re
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import hpack

from ..http1 import Address
from ..http2 import DATA, GOAWAY, HEADERS, PREFACE, WINDOW_UPDATE, frame, settings
from .shots import grpc_stream

_TIMEOUT = 10.0
_HEAD = re.compile(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.I)
_STATUSES_OF_FRAMING = {"501", "505"}  # not implemented: what RFC 9110 has for unknown codings and versions
_OPENING = PREFACE + settings((4, 1 << 20)) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30))


class Wrong(NamedTuple):
    """A message, by its number in the volley, that should not have been answered so."""

    number: int
    seen: str


class Outcome(NamedTuple):
    answers: Counter[str]
    wrong: list[Wrong]


def pipelined(address: Address, messages: Sequence[bytes]) -> Outcome:
    """Requests in order on one connection; where the server closes, the rest goes on a new one."""
    outcome = Outcome(Counter(), [])
    start = 0
    while start < len(messages):
        got = 0
        for got, (status, head) in enumerate(_answers(address, messages[start:]), 1):
            outcome.answers[status] += 1
            if status >= "500" and not (status == "503" and b"retry-after" in head.lower()):
                outcome.wrong.append(Wrong(start + got - 1, f"status {status}"))
        if got == 0:
            outcome.answers["closed"] += 1
            outcome.wrong.append(Wrong(start, "no answer to a request that is framed well"))
        start += max(got, 1)
    return outcome


def _answers(address: Address, messages: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    with socket.create_connection(address, timeout=_TIMEOUT) as opened:
        opened.sendall(b"".join(messages))
        buffer = b""
        for _ in messages:
            while (found := _one(buffer)) is None:
                if not (more := _received(opened)):
                    return
                buffer += more
            status, head, end = found
            yield status, head
            buffer = buffer[end:]
            if b"\r\nconnection: close\r\n" in head.lower():
                return


def _one(buffer: bytes) -> tuple[str, bytes, int] | None:
    """Status, head and end of the first whole answer."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = buffer[: end + 2]
    status, length = _HEAD.match(head), _LENGTH.search(head)
    if status is None or length is None:
        raise ValueError(f"not an answer with content-length: {head[:200]!r}")
    whole = end + 4 + int(length[1])
    return (status[1].decode(), head, whole) if len(buffer) >= whole else None


def _received(opened: socket.socket) -> bytes:
    try:
        return opened.recv(1 << 18)
    except ConnectionError:
        return b""


def streams(address: Address, messages: Sequence[bytes]) -> Outcome:
    """gRPC calls at once on one connection; each must end with a grpc-status that is the caller's fault, or OK."""
    outcome = Outcome(Counter(), [])
    sent = b"".join(grpc_stream(2 * number + 1, content) for number, content in enumerate(messages))
    statuses = _statuses(_whole(address, _OPENING + sent, len(messages)))
    for number, content in enumerate(messages):
        told = statuses.get(2 * number + 1, "none")
        outcome.answers[f"grpc {told}"] += 1
        # doc/compression.md of gRPC: a message flagged as compressed, and no encoding named, is INTERNAL (13).
        if told in ("none", "2") or (told == "13" and content[:1] != b"\x01"):
            outcome.wrong.append(Wrong(number, f"grpc-status {told}"))
    return outcome


def _whole(address: Address, content: bytes, ends: int | None) -> bytes:
    """What comes until so many streams have ended (None: until the server closes, for we said all we have)."""
    with socket.create_connection(address, timeout=_TIMEOUT) as opened:
        try:
            opened.sendall(content)
            if ends is None:
                opened.shutdown(socket.SHUT_WR)
        except OSError:
            return b"" if ends is None else _rest(opened, b"")
        return _rest(opened, b"", ends)


def _rest(opened: socket.socket, buffer: bytes, ends: int | None = None) -> bytes:
    while (ends is None or _ended(buffer) < ends) and (more := _received(opened)):
        buffer += more
    return buffer


def _ended(buffer: bytes) -> int:
    return sum(1 for kind, flags, _, _ in _frames(buffer) if kind in (DATA, HEADERS) and flags & 1)


def _frames(buffer: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    position = 0
    while position + 9 <= len(buffer):
        size = int.from_bytes(buffer[position : position + 3], "big")
        kind, flags, stream = struct.unpack_from(">BBI", buffer, position + 3)
        yield kind, flags, stream, buffer[position + 9 : position + 9 + size]
        position += 9 + size


def _statuses(buffer: bytes) -> dict[int, str]:
    """grpc-status, or :status where there is none, by stream."""
    decoder = hpack.Decoder()
    told: dict[int, str] = {}
    for kind, _, stream, payload in _frames(buffer):
        if kind == HEADERS:
            fields = {str(name): str(value) for name, value in decoder.decode(payload)}
            told[stream] = str(fields.get("grpc-status") or told.get(stream) or fields.get(":status"))
    return told


def broken(address: Address, messages: Sequence[bytes]) -> Outcome:
    """Each on a connection of its own, which must be answered or closed once we have said all."""
    return _each(address, messages, judge_http1)


def broken_frames(address: Address, messages: Sequence[bytes]) -> Outcome:
    return _each(address, [_OPENING + content for content in messages], judge_http2)


def _each(address: Address, messages: Sequence[bytes], judge: Callable[[bytes], list[str]]) -> Outcome:
    outcome = Outcome(Counter(), [])
    opened = [_say(address, content) for content in messages]
    for number, connection in enumerate(opened):
        with connection:
            try:
                said = _rest(connection, b"")
            except TimeoutError:
                outcome.wrong.append(Wrong(number, f"neither answered nor closed within {_TIMEOUT:g} s"))
                continue
        told = judge(said)
        outcome.answers.update(told)
        bad = [
            status
            for status in told
            if status.isdigit() and status >= "500" and status not in _STATUSES_OF_FRAMING
        ]
        outcome.wrong.extend(Wrong(number, f"status {status}") for status in bad)
    return outcome


def _say(address: Address, content: bytes) -> socket.socket:
    opened = socket.create_connection(address, timeout=_TIMEOUT)
    try:
        opened.sendall(content)
        opened.shutdown(socket.SHUT_WR)
    except OSError:
        return opened  # refused while we spoke: what it said is read all the same
    return opened


def judge_http1(said: bytes) -> list[str]:
    return [status.decode() for status in _HEAD.findall(said)] or ["closed"]


def judge_http2(said: bytes) -> list[str]:
    if said.startswith(b"HTTP/1"):
        return judge_http1(said)
    statuses = [f"{status}" for status in _statuses(said).values() if status != "None"]
    return statuses or ["goaway" if any(kind == GOAWAY for kind, *_ in _frames(said)) else "closed"]
