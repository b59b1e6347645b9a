"""HTTP/2 frames over a plain socket, with prior knowledge: any frame may be sent, each that comes is kept."""

from __future__ import annotations

import socket
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import NamedTuple, Self

from .http1 import Address, Reply
from .rule import NotApplicable, NotOffered

try:
    import hpack
except ImportError:  # the rules of HTTP/2 are then not applicable
    hpack = None  # type: ignore[assignment]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
_INITIAL_WINDOW_SIZE = 4


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int:
        """The error code of a RST_STREAM or GOAWAY."""
        return int.from_bytes(self.payload[4:8] if self.kind == GOAWAY else self.payload[:4], "big")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


class Http2:
    """One connection; our own windows are topped up as DATA comes, unless `generous` is off."""

    def __init__(
        self, address: Address, timeout: float, generous: bool = True, opening: bytes | None = None
    ) -> None:
        if hpack is None:
            raise NotApplicable("the library hpack is not installed here")
        self._socket = socket.create_connection(address, timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = self._socket.makefile("rb")
        self._encoder, self._decoder = hpack.Encoder(), hpack.Decoder()
        self._generous = generous
        self._blocks: dict[int, bytes] = defaultdict(bytes)
        self.replies: dict[int, dict[str, str]] = defaultdict(dict)
        self.trailers: dict[int, dict[str, str]] = defaultdict(dict)
        self.bodies: dict[int, bytes] = defaultdict(bytes)
        self.ended: set[int] = set()
        self.initial_window = 65_535  # of each stream, as the server sets it
        self._open(settings() if opening is None else opening)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stream.close()
        self._socket.close()

    def _open(self, opening: bytes) -> None:
        try:
            self.send(PREFACE + opening)
            first = self.frame()
        except (OSError, EOFError) as error:
            self.__exit__()
            raise NotOffered(f"no HTTP/2 with prior knowledge: {error}") from None
        if first.kind != SETTINGS or first.stream:
            self.__exit__()
            raise NotOffered(f"no HTTP/2 with prior knowledge: {bytes(first.payload[:30])!r}")

    def send(self, content: bytes) -> None:
        self._socket.sendall(content)

    def headers(self, stream: int, fields: Iterable[tuple[str, str]], end: bool) -> bytes:
        """A HEADERS frame of these fields, in this order and as they are."""
        block = self._encoder.encode(list(fields))
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)

    def block(self, fields: Iterable[tuple[str, str]]) -> bytes:
        return bytes(self._encoder.encode(list(fields)))

    def request(
        self,
        stream: int,
        method: str,
        path: str,
        body: bytes | None = None,
        fields: Iterable[tuple[str, str]] = (),
    ) -> bytes:
        """One request in as many DATA frames of 16 KiB as it takes; its body fits the first window."""
        pseudo = [(":method", method), (":scheme", "http"), (":authority", "x"), (":path", path)]
        content = self.headers(stream, [*pseudo, *fields], body is None)
        parts = [] if body is None else [body[i : i + 16384] for i in range(0, max(len(body), 1), 16384)]
        for number, part in enumerate(parts):
            content += frame(DATA, END_STREAM if number == len(parts) - 1 else 0, stream, part)
        return content

    def frame(self) -> Frame:
        """The next one; what it means for the replies is noted."""
        head = self._exactly(9)
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        got = Frame(kind, flags, stream & 0x7FFFFFFF, self._exactly(int.from_bytes(head[:3], "big")))
        self._note(got)
        return got

    def until(self, wanted: Callable[[Frame], bool]) -> Frame:
        """The first frame that is wanted; EOFError if the server closes before."""
        while not wanted(got := self.frame()):
            pass
        return got

    def reply(self, stream: int) -> Reply:
        """The whole answer on this stream; EOFError if it is reset or the connection goes away."""
        while stream not in self.ended:
            got = self.frame()
            if got.kind == RST_STREAM and got.stream == stream:
                raise EOFError(f"stream {stream} was reset with code {got.code}")
            if got.kind == GOAWAY and got.code:
                raise EOFError(f"GOAWAY with code {got.code}")
        headers = self.replies[stream]
        return Reply(int(headers.get(":status", 0)), headers, self.bodies[stream], "HTTP/2")

    def _exactly(self, size: int) -> bytes:
        content = self._stream.read(size)
        if len(content) < size:
            raise EOFError("closed")
        return content

    def _note(self, got: Frame) -> None:
        if got.kind == DATA:
            self.bodies[got.stream] += _unpadded(got)
            if self._generous and got.payload:
                self.grant(got.stream, len(got.payload))
        elif got.kind in (HEADERS, CONTINUATION):
            self._note_block(got)
        elif got.kind == SETTINGS and not got.flags & ACK:
            pairs = dict(struct.iter_unpack(">HI", got.payload))
            self.initial_window = pairs.get(_INITIAL_WINDOW_SIZE, self.initial_window)
            self.send(frame(SETTINGS, ACK, 0))
        if got.kind in (DATA, HEADERS) and got.flags & END_STREAM:
            self.ended.add(got.stream)

    def grant(self, stream: int, size: int) -> None:
        window = struct.pack(">I", size)
        self.send(frame(WINDOW_UPDATE, 0, 0, window) + frame(WINDOW_UPDATE, 0, stream, window))

    def _note_block(self, got: Frame) -> None:
        self._blocks[got.stream] += _unpadded(got)
        if not got.flags & END_HEADERS:
            return
        fields = {str(name): str(value) for name, value in self._decoder.decode(self._blocks.pop(got.stream))}
        known = self.replies[got.stream]
        if known and not known[":status"].startswith("1"):
            self.trailers[got.stream].update(fields)
        else:
            self.replies[got.stream] = fields


def _unpadded(got: Frame) -> bytes:
    payload = got.payload
    if got.kind != CONTINUATION and got.flags & 8:
        payload = payload[1 : len(payload) - payload[0]]
    return payload[5:] if got.kind == HEADERS and got.flags & 0x20 else payload
