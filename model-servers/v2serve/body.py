"""The body of a request: received within bounds of bytes and seconds, or dropped so that a refusal is heard."""

import asyncio
import math
import time
from collections.abc import Awaitable
from typing import Any, TypeVar

from granian._granian import RSGIProtocolClosed as ProtocolClosed

from v2serve.protocol import ExtraHeaders, Refusal
from v2serve.rsgi import Exchange, Headers

T = TypeVar("T")

# Bytes that nobody wants are read up to here: a caller who is still sending when the connection closes
# loses the answer.
_DISCARD = 64 << 20
_CLOSE: ExtraHeaders = (("connection", "close"),)
_BROKEN = "the body ended before it was complete, or has trailers; send all of it, without trailers"


class _Late(Exception):
    """What was awaited did not come in time."""


class Bodies:
    """Receives bodies of at most `limit` bytes, each within `seconds`."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._patience = _Patience(seconds)

    async def receive(self, headers: Headers, exchange: Exchange) -> bytes:
        """The whole body; Refusal 400 if it breaks off, 408 if it is slow, 413 if it is too large."""
        length = headers.get("content-length")
        if length is not None and int(length) > self._limit:
            raise Refusal(413, self._too_large(f"{length} bytes"), await self.drop(headers, exchange))
        try:
            return await self._patience.of(exchange() if length is not None else self._gather(exchange))
        except _Late:
            reason = (
                f"the body did not arrive within {self._seconds:g} s (V2SERVE_READ_SECONDS); send it faster"
            )
            raise Refusal(408, reason, _CLOSE) from None
        except ProtocolClosed:
            raise Refusal(400, _BROKEN, _CLOSE) from None

    async def drop(self, headers: Headers, exchange: Exchange) -> ExtraHeaders:
        """Read past a body that is not wanted; the answer's header that says so if some of it is left."""
        length = headers.get("content-length")
        if length is None and headers.get("transfer-encoding") is None:
            return ()
        # A caller who waits for "100 Continue" sends nothing if it gets the answer instead.
        if int(length or 0) > _DISCARD or headers.get("expect") is not None:
            return _CLOSE
        try:
            return await self._patience.of(_pass_over(exchange))
        except _Late:
            return _CLOSE

    async def _gather(self, exchange: Exchange) -> bytes:
        """A body of unknown length, never holding more of it than is allowed."""
        body, size, ended = bytearray(), 0, False
        async for chunk in exchange:
            if ended:  # granian gives one empty chunk at the end, and one more where the stream broke
                raise Refusal(400, _BROKEN, _CLOSE)
            ended = not chunk
            size += len(chunk)
            if size <= self._limit:
                body += chunk
            elif size > _DISCARD:
                break
        if size > self._limit:
            raise Refusal(413, self._too_large("more"), _CLOSE if size > _DISCARD else ())
        return bytes(body)

    def _too_large(self, given: str) -> str:
        return f"the body has {given}; V2SERVE_MAX_BODY_BYTES allows {self._limit}"


async def _pass_over(exchange: Exchange) -> ExtraHeaders:
    size = 0
    async for chunk in exchange:
        size += len(chunk)
        if size > _DISCARD:
            return _CLOSE
    return ()


class _Patience:
    """Ends waits that last longer than `seconds`: one look at all of them now and then.

    A timer for each request would cost ten times as much.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[asyncio.Task[Any], float] = {}  # infinity: told to give up
        self._looking = False

    async def of(self, awaited: Awaitable[T]) -> T:
        """What was awaited; _Late after `seconds` and at most an eighth of them more."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a body is received by a task")
        self._until[task] = time.monotonic() + self._seconds
        if not self._looking:
            self._look_again()
        try:
            return await awaited
        except asyncio.CancelledError:
            if self._until[task] != math.inf:
                raise  # the server ends
            task.uncancel()
            raise _Late from None
        finally:
            del self._until[task]

    def _look_again(self) -> None:
        self._looking = True
        asyncio.get_running_loop().call_later(self._seconds / 8, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        for task, until in self._until.items():
            if until < now:
                self._until[task] = math.inf
                task.cancel()
        self._looking = False
        if self._until:
            self._look_again()
