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

from mainline.errors import Refusal
from mainline.local import records
from mainline.local.body import read_body, unread
from mainline.local.connection import Limits, Server
from mainline.local.layout import Layout, LocalError, stamp
from mainline.local.measure import Measure
from mainline.local.objects import read_objects
from mainline.local.paths import decoded, origin_form
from mainline.local.probe import HOST
from mainline.local.proxy import Proxy, error

_POLL = 0.05
_STATE = "/-/gateway"
_NO_PATH = "the request does not ask for a path; ask for one such as /v2/models/<model>"
_BACKLOG = 1024
_GRACE = 3.0


class Gateway:
    """Follows objects.json and answers; what is not its own goes through the proxy."""

    def __init__(self, layout: Layout, limits: Limits | None = None) -> None:
        self.layout = layout
        self.limits = limits or Limits()
        self._seen: Any = "never looked"
        self.measure = Measure()
        self.proxy = Proxy(self.measure)
        self.own = {
            "/v2": self._server,
            "/v2/": self._server,
            "/v2/health/live": lambda: web.json_response({"live": True}),
            "/v2/health/ready": lambda: web.json_response({"ready": True}),
            _STATE: self._state,
            "/metrics": self._metrics,
        }

    async def follow(self) -> None:
        """Take the live objects whenever their file is another one."""
        while True:
            await self.look()
            await asyncio.sleep(_POLL)

    async def look(self) -> None:
        found = stamp(self.layout.objects)
        if found != self._seen:
            self._seen = found
            await self.proxy.take(read_objects(self.layout.objects))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        target = origin_form(request.raw_path)
        path = decoded(target.partition("?")[0])
        if path in self.own:
            return await self._answer_own(request, path)
        if not path.startswith("/"):
            return unread(request, error(400, _NO_PATH))
        if self.proxy.find(request.method, target, request.headers) is None:
            return unread(request, self.proxy.no_route(target))
        body = await read_body(request, self.limits.body)
        # The routes may have moved while the body came, so the proxy looks again.
        return await self.proxy.answer(request, target, body) if isinstance(body, bytes) else body

    async def _answer_own(self, request: web.BaseRequest, path: str) -> web.Response:
        if request.method not in ("GET", "HEAD"):
            refused = error(405, f"{request.method} is not for {path}; use GET")
            refused.headers["allow"] = "GET, HEAD"
            return unread(request, refused)
        if path == _STATE:
            # Who asks for the state may have written the objects just now, and need not wait for our next look.
            await self.look()
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
                "answers": dict(backends.answers),
                "totals": dict(self.measure.totals),
            }
        )

    def _metrics(self) -> web.Response:
        headers = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self.measure.exposition(), headers=headers)


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


async def open_gateway(gateway: Gateway, listener: socket.socket) -> web.ServerRunner:
    """Answer on this socket until the runner's cleanup."""
    runner = web.ServerRunner(Server(gateway.handle, gateway.limits), shutdown_timeout=_GRACE)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=_BACKLOG).start()
    return runner


async def _serve(layout: Layout, port: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    gateway = Gateway(layout)
    await gateway.look()
    listener = listen(port)
    runner = await open_gateway(gateway, listener)
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
