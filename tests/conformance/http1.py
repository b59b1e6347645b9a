"""HTTP/1 over a plain socket: what is sent is sent as it is, what comes back is read to the letter."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

from .rule import Departs

_WHOLE = 1 << 28  # no answer of a probe is larger


class Address(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Reply:
    """Names of headers are lower case; values of a repeated header are joined with ", "."""

    status: int
    headers: dict[str, str]
    body: bytes
    version: str = "HTTP/1.1"

    def json(self) -> Any:
        try:
            return json.loads(self.body, parse_constant=_refuse_constant)
        except ValueError:
            raise Departs(f"{self.status}, and the body is not JSON: {self.body[:80]!r}") from None

    @property
    def said(self) -> str:
        """Status and the beginning of the body, for a line of a report."""
        text = self.body[:120].decode("utf-8", "replace")
        return f"{self.status} {text}" if text else f"{self.status} with an empty body"


class Connection:
    """One connection; `timeout` seconds for each read and write."""

    def __init__(self, address: Address, timeout: float) -> None:
        self._socket = socket.create_connection(address, timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream: BinaryIO = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stream.close()
        self._socket.close()

    def send(self, content: bytes) -> None:
        self._socket.sendall(content)

    def finish_sending(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def patience(self, seconds: float) -> None:
        self._socket.settimeout(seconds)

    def exactly(self, size: int) -> bytes:
        content = self._stream.read(size)
        if len(content) < size:
            raise EOFError(f"closed after {len(content)} of {size} bytes")
        return content

    def head(self) -> Reply:
        """Status line and headers, of an interim answer too."""
        line = self._stream.readline(65536)
        if not line:
            raise EOFError("closed without an answer")
        words = line.split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise Departs(f"not an HTTP/1 status line: {line[:80]!r}")
        return Reply(int(words[1]), self._headers(), b"", words[0].decode())

    def reply(self, method: str = "GET") -> Reply:
        """The final answer to a request of this method."""
        head = self.head()
        while 100 <= head.status < 200:
            head = self.head()
        body = b"" if method == "HEAD" or head.status in (204, 304) else self._body(head.headers)
        return Reply(head.status, head.headers, body, head.version)

    def is_closed(self) -> bool:
        """Whether the server closes now, within the time-out, without saying more."""
        try:
            return self._stream.read(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def rest(self) -> bytes:
        """What comes until the server closes."""
        return self._stream.read(_WHOLE)

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        while (line := self._stream.readline(65536)) not in (b"\r\n", b"\n", b""):
            key, _, value = line.decode("latin-1").partition(":")
            name, text = key.strip().lower(), value.strip()
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
        return headers

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(self._chunks())
        if "content-length" in headers:
            return self.exactly(int(headers["content-length"]))
        return self.rest()

    def _chunks(self) -> Iterable[bytes]:
        while size := int(self._stream.readline(4096).split(b";")[0], 16):
            yield self.exactly(size)
            self.exactly(2)
        self._headers()


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")  # RFC 8259, 6


def head_of(method: str, path: str, headers: Iterable[tuple[str, str]], version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")
