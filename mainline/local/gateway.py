"""The data plane of one machine: an HTTP gateway that honours the live HTTPRoutes."""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from mainline.errors import Refusal
from mainline.local import records
from mainline.local.layout import Layout, LocalError, stamp
from mainline.local.measure import Measure
from mainline.local.objects import read_objects
from mainline.local.probe import HOST
from mainline.local.proxy import Proxy, error

MOST_BYTES = 16 * 1024 * 1024
_POLL = 0.01
_BACKLOG = 1024
_GRACE = 3.0
_LINGER = 2.0


class Gateway:
    """Follows objects.json and answers; what is not its own goes through the proxy."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.measure = Measure()
        self.proxy = Proxy(self.measure)
        self.own = {
            "/v2": self._server,
            "/v2/": self._server,
            "/v2/health/live": lambda: web.json_response({"live": True}),
            "/v2/health/ready": lambda: web.json_response({"ready": True}),
            "/-/gateway": self._state,
            "/metrics": self._metrics,
        }

    async def follow(self) -> None:
        """Take the live objects whenever their file is another one."""
        seen: Any = "never looked"
        while True:
            found = stamp(self.layout.objects)
            if found != seen:
                seen = found
                await self.proxy.take(read_objects(self.layout.objects))
            await asyncio.sleep(_POLL)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if path in self.own:
            return self._answer_own(request, path)
        if not path.startswith("/"):
            return error(400, f"{path[:200]!r} is not a path of this gateway")
        if (request.content_length or 0) > MOST_BYTES:
            return await _too_large(request)
        try:
            await _continue(request)
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return await _too_large(request)
        return await self.proxy.answer(request, body)

    def _answer_own(self, request: web.BaseRequest, path: str) -> web.Response:
        if request.method not in ("GET", "HEAD"):
            refused = error(405, f"{request.method} is not for {path}; use GET")
            refused.headers["allow"] = "GET, HEAD"
            return refused
        answer: web.Response = self.own[path]()
        return answer

    def _server(self) -> web.Response:
        return web.json_response({"name": "mainline-gateway", "version": "0.1.0", "extensions": []})

    def _state(self) -> web.Response:
        backends = self.proxy.backends
        return web.json_response(
            {
                "generation": self.proxy.generation,
                "inflight": backends.by_service(),
                "endpoints": backends.by_endpoint(),
                "totals": dict(self.measure.totals),
            }
        )

    def _metrics(self) -> web.Response:
        headers = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self.measure.exposition(), headers=headers)


async def _too_large(request: web.BaseRequest) -> web.Response:
    if not _asks_first(request):
        await _discard(request)
    refused = error(413, f"the body is larger than {MOST_BYTES} bytes; send less in one request")
    refused.force_close()
    return refused


async def _discard(request: web.BaseRequest) -> None:
    """Read on for a while: a client that still sends when its connection is closed never sees the answer."""
    dropped = 0
    try:
        async with asyncio.timeout(_LINGER):
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


class _Handler(RequestHandler):
    """Says in JSON what goes wrong below us: what is not HTTP, and what nobody expected."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer was sent already")
        if status >= 500:
            sys.stderr.write(f"gateway: {request.method} {request.path}: {type(exc).__name__}: {exc}\n")
            sys.stderr.flush()
        reason = (
            (message or "not HTTP").splitlines()[0]
            if status < 500
            else "the gateway failed; its log says why"
        )
        answer = error(status, reason)
        answer.force_close()
        return answer


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Handler(self, loop=self._loop, **self._kwargs)


def _request_factory(loop: asyncio.AbstractEventLoop) -> Any:
    def make(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MOST_BYTES)

    return make


def listen(port: int) -> socket.socket:
    """The gateway's socket; raises LocalError where the port is somebody else's."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as reason:
        listener.close()
        why = getattr(reason, "strerror", None) or str(reason)
        raise LocalError(
            f"port {port} of {HOST} cannot be used ({why}); free it, or take any free one: make up PORT=0"
        ) from reason
    return listener


async def _serve(layout: Layout, port: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    gateway = Gateway(layout)
    options: dict[str, Any] = {"auto_decompress": False, "access_log": None, "lingering_time": _LINGER}
    server = _Server(gateway.handle, request_factory=_request_factory(loop), **options)
    runner = web.ServerRunner(server, shutdown_timeout=_GRACE)
    await gateway.proxy.take(read_objects(layout.objects))
    listener = listen(port)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=_BACKLOG).start()
    bound = listener.getsockname()[1]
    records.announce(layout, records.GATEWAY, bound)
    following = asyncio.create_task(gateway.follow())
    done, _ = await asyncio.wait(
        {following, asyncio.create_task(stopping.wait())}, return_when="FIRST_COMPLETED"
    )
    await runner.cleanup()
    await gateway.proxy.close()
    if following in done:
        following.result()
    records.remove_record(layout, records.GATEWAY)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="mainline.local.gateway", description=__doc__)
    parser.add_argument("root", type=Path, help="the folder that holds .mainline/")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one")
    given = parser.parse_args(arguments)
    layout = Layout(given.root.resolve())
    try:
        layout.prepare()
        with records.hold(layout, records.GATEWAY):
            asyncio.run(_serve(layout, given.port))
    except (Refusal, OSError) as reason:
        sys.stderr.write(f"gateway: {reason}\n")
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)
