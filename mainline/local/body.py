"""The body of a request, read whole within a size and a time; what is too large or too late is refused."""

import asyncio

from aiohttp import web

from mainline.local.proxy import error

MOST_BYTES = 16 * 1024 * 1024
LINGER = 2.0
"""Seconds that a refused body is still read and dropped."""
BROKEN = web.RequestKey("BROKEN", bool)
"""Set on a request whose body ends in what is not HTTP."""
_MALFORMED = "the body is not what its headers say; send its length or well-formed chunks"


async def read_body(request: web.BaseRequest, limit: float) -> bytes | web.Response:
    """The bytes, or the refusal: 413 above MOST_BYTES, 408 after `limit` seconds, 400 where it is not HTTP."""
    if (request.content_length or 0) > MOST_BYTES:
        return await _too_large(request)
    try:
        async with asyncio.timeout(limit):
            await _continue(request)
            body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return await _too_large(request)
    except TimeoutError:
        return closing(408, f"the body was not there within {limit:g} s; send it faster or in smaller parts")
    except web.RequestPayloadError:
        return closing(400, _MALFORMED)
    return closing(400, _MALFORMED) if request.get(BROKEN) else body


def unread(request: web.BaseRequest, refused: web.Response) -> web.Response:
    """The refusal of a request whose body nobody reads; what comes of it is dropped for a bounded time."""
    if _asks_first(request):
        # Whether the body follows is the client's choice, so where the next request begins is not known.
        refused.force_close()
    return refused


def closing(status: int, reason: str) -> web.Response:
    refused = error(status, reason)
    refused.force_close()
    return refused


async def _too_large(request: web.BaseRequest) -> web.Response:
    if not _asks_first(request):
        await _discard(request)
    return closing(413, f"the body is larger than {MOST_BYTES} bytes; send less in one request")


async def _discard(request: web.BaseRequest) -> None:
    """Read on for a while: a client that still sends when its connection is closed never sees the answer."""
    dropped = 0
    try:
        async with asyncio.timeout(LINGER):
            while dropped < 4 * MOST_BYTES and (chunk := await request.content.readany()):
                dropped += len(chunk)
    except TimeoutError:
        return


def _asks_first(request: web.BaseRequest) -> bool:
    return request.headers.get("expect", "").lower() == "100-continue" and request.version >= (1, 1)


async def _continue(request: web.BaseRequest) -> None:
    if _asks_first(request):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # What went out is no part of the answer's head.
        request.writer.output_size = 0
