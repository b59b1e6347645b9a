"""One HTTP request, its answer, and what an application is to the wire that carries them."""

from asyncio import Future
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

Headers = tuple[tuple[str, str], ...]


class Request:
    """A request whose head is there; `body` is there too once the application is asked for its answer.

    Names of headers are lower case; values of a repeated header are joined with ", ".
    `begin` is time.perf_counter() when the head was complete.
    """

    __slots__ = ("begin", "body", "call_id", "context", "headers", "http", "method", "path", "query")

    def __init__(
        self, method: str, path: str, query: str, headers: dict[str, str], begin: float, http: str
    ) -> None:
        self.method = method
        self.path = path  # percent-decoded
        self.query = query
        self.headers = headers
        self.begin = begin
        self.http = http  # "1.0", "1.1" or "2"
        self.body: bytes = b""
        self.context: Any = None  # the application's own note, from admit to answered
        self.call_id: str | None = None  # what the caller named the call, for the log


class Answer(NamedTuple):
    """`trailers` go after the body where HTTP/2 carries the answer; `headers` hold no content-length."""

    status: int
    headers: Headers
    body: bytes | bytearray = b""
    trailers: Headers = ()


class Application(Protocol):
    """What the wire asks, always in the thread of the event loop."""

    def admit(self, request: Request) -> Answer | None:
        """A refusal that needs no body, or None: receive the body. Called once a request, before all else."""

    def answers(self, requests: Sequence[Request]) -> Sequence[Answer | Future[Answer]]:
        """The answers to whole requests that came in one turn of the loop, of any connections, in their order.

        A future is cancelled if the caller leaves. What is raised is a 500 for all of them.
        """

    def refuse(self, request: Request | None, status: int, message: str) -> Answer:
        """The wire's own refusals in the words of the application; None: no head could be read."""

    def answered(self, request: Request, answer: Answer | None) -> None:
        """Called once for each admitted request: its answer was handed to the socket, or the caller left (None)."""


class WireLimits(NamedTuple):
    """What one server takes, whoever calls."""

    body_bytes: int = 4 << 20  # one body, as it is sent
    held_bytes: int = 64 << 20  # all bodies that are being received or wait for their answer
    head_bytes: int = 64 << 10  # one request line and its headers
    headers: int = 100
    read_seconds: float = 30.0  # for a head, for a body, for a caller to read an answer, and for idleness
    connections: int = 4096
    streams: int = 128  # of one HTTP/2 connection at once
