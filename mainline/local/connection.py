"""A client's connection: a bounded time for each head, and one clear sentence in JSON for what is not HTTP."""

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from mainline.local.body import BROKEN, LINGER, MOST_BYTES, closing

_IDLE = 75.0
_LONGEST_LINE = 8190
_UNREADABLE = (
    f"this is not a request of HTTP/1.1: it needs a method, a path such as /v2/models/<model> "
    f"and headers, each line of at most {_LONGEST_LINE} bytes"
)
_FAILED = "the gateway failed; its log says why"


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds until a head, and then a body, has to be there as a whole."""

    head: float = 10.0
    body: float = 30.0


class _Handler(RequestHandler):
    """Ends half-sent heads, and says in JSON what goes wrong below us."""

    def __init__(self, manager: web.Server, limit: float, **options: Any) -> None:
        super().__init__(manager, **options)
        self._limit = limit
        self._begun = False
        """Did bytes come that are no whole head yet?"""
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._late = self._loop.call_later(self._limit, self._too_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._on_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            self._on_time()
            self._see_a_broken_body()
        elif self._request_count == 0 or self._awaits_a_head():
            self._begun = True
            self._late = self._late or self._loop.call_later(self._limit, self._too_late)

    def _see_a_broken_body(self) -> None:
        """The parser queues what it cannot read behind the request whose body it belongs to: that one must not wait."""
        request = self._current_request
        if (
            request
            and not request.content.is_eof()
            and not isinstance(self._messages[-1][0], RawRequestMessage)
        ):
            request[BROKEN] = True
            request.content.feed_eof()

    def _awaits_a_head(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _on_time(self) -> None:
        if self._late:
            self._late.cancel()
        self._late, self._begun = None, False

    def _too_late(self) -> None:
        if self._begun and self.transport is not None:
            self.transport.write(_late_head(self._limit))
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the parser's own buffers
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer was sent already")
        if status >= 500:
            sys.stderr.write(f"gateway: {request.method} {request.path}: {type(exc).__name__}: {exc}\n")
            sys.stderr.flush()
        return closing(status, _UNREADABLE if status < 500 else _FAILED)


class Server(web.Server):
    """Makes the handler of each connection."""

    def __init__(self, handle: Any, limits: Limits) -> None:
        options: dict[str, Any] = {
            "auto_decompress": False,
            "access_log": None,
            "lingering_time": LINGER,
            "keepalive_timeout": _IDLE,
            "max_line_size": _LONGEST_LINE,
            "max_field_size": _LONGEST_LINE,
        }
        super().__init__(handle, request_factory=_request_factory(asyncio.get_running_loop()), **options)
        self._limits = limits

    def __call__(self) -> RequestHandler:
        return _Handler(self, self._limits.head, loop=self._loop, **self._kwargs)


def _late_head(limit: float) -> bytes:
    body = json.dumps({"error": f"the head of the request was not there within {limit:g} s; send it whole"})
    lines = (
        "HTTP/1.1 408 Request Timeout",
        "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", body)).encode()


def _request_factory(loop: asyncio.AbstractEventLoop) -> Any:
    def make(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MOST_BYTES)

    return make
