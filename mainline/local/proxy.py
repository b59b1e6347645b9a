"""One request's way through the gateway: matched, sent, sent again only where nothing can have been answered."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from mainline.local.backends import Backends
from mainline.local.measure import Measure
from mainline.local.objects import Objects
from mainline.local.paths import normal
from mainline.local.router import Table, Target

PATIENCE = 5.0
"""Seconds that a request waits for an endpoint, while a server is replaced."""
TIMEOUT = 60.0
_RESENT = 3
_PAUSE = 0.02
_MOST_MIRRORS = 64
_MIRROR_TIMEOUT = 10.0
_HELD = 1024 * 1024
_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
     "transfer-encoding", "upgrade")
)  # fmt: skip
_RESTATED = _HOP_BY_HOP | {"host", "content-length", "expect"}
_Unsent = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_Closed = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientConnectionResetError)


@dataclass(slots=True)
class Call:
    """A request that was read whole, so that it can be sent again."""

    method: str
    path: str
    headers: CIMultiDict[str]
    body: bytes
    end: float | None = None
    """When patience with missing endpoints is over, monotonic; it begins when the first one is missed."""
    resent: int = 0

    def patience(self) -> float:
        """Seconds left to wait for an endpoint."""
        self.end = self.end or time.monotonic() + PATIENCE
        return self.end - time.monotonic()


class Proxy:
    """The live table and endpoints; replaced at once by `take`."""

    def __init__(self, measure: Measure) -> None:
        self.measure = measure
        self.backends = Backends()
        self.table = Table()
        self.generation: int | None = None
        self._mirrors: set[asyncio.Task[None]] = set()

    async def take(self, objects: Objects) -> None:
        """From this moment on requests follow these objects."""
        self.table = Table(objects.live_routes(), self.table)
        unused = self.backends.update(objects.services)
        self.generation = objects.generation
        self.measure.generation.set(objects.generation)
        for session in unused:
            await session.close()

    def no_route(self, path: str) -> web.Response:
        return self._refused(
            "none", "", 404, f"no route for {path.partition('?')[0][:200]}", time.perf_counter()
        )

    async def answer(self, request: web.BaseRequest, path: str, body: bytes) -> web.StreamResponse:
        """`path` is the path and the query in origin form."""
        began = time.perf_counter()
        target = self.find(request.method, path, request.headers)
        if target is None:
            return self.no_route(path)
        call = Call(request.method, _sent(path), _forwarded(request.headers), body)
        service = target.turn.next()
        self._mirror(target, call)
        try:
            return await self._deliver(request, call, target, service, began)
        except TimeoutError:
            return self._refused(target.route, service, 504, f"{service} did not answer in time", began)
        except (aiohttp.ClientError, ConnectionError):
            return self._refused(target.route, service, 502, f"{service} broke off its answer", began)

    def find(self, method: str, path: str, headers: Mapping[str, str]) -> Target | None:
        """The rule for a path, with or without its query."""
        return self.table.find(method, path.partition("?")[0], headers)

    async def _deliver(
        self, request: web.BaseRequest, call: Call, target: Target, service: str, began: float
    ) -> web.StreamResponse:
        """Until somebody answers: an endpoint that is gone is asked again elsewhere, or when it is back."""
        failed: set[str] = set()
        while True:
            url = self.backends.choose(service, failed)
            if url is not None:
                with self.backends.on_its_way(url) as session:
                    response = await self._attempt(session, url, call, target)
                    if response is not None:
                        return await self._relay(request, response, target, service, began)
                failed.add(url)
            left = call.patience()
            if left <= 0:
                return self._unavailable(target, service, began)
            await self.backends.change(_PAUSE if url else min(0.25, left))
            target, service = self._again(call, target, service)

    def _again(self, call: Call, target: Target, service: str) -> tuple[Target, str]:
        """The same backend, unless the routes moved on and it is gone."""
        if service in self.backends.services:
            return target, service
        found = self.find(call.method, call.path, call.headers)
        return (found, found.turn.next()) if found else (target, service)

    async def _attempt(
        self, session: aiohttp.ClientSession, url: str, call: Call, target: Target
    ) -> aiohttp.ClientResponse | None:
        """The answer's head; None where not one byte of an answer can have come, and asking again is safe."""
        limit = target.rule.timeout or TIMEOUT
        try:
            async with asyncio.timeout(limit):
                response = await session.request(
                    call.method, URL(url + call.path, encoded=True), headers=call.headers, data=call.body or None,
                    allow_redirects=False,
                )  # fmt: skip
                self.backends.answers[url] += 1
                return response
        except _Unsent:
            self.measure.event("retry_connect")
        except _Closed:
            call.resent += 1
            if call.resent > _RESENT:
                raise
            self.measure.event("retry_closed")
        return None

    async def _relay(
        self,
        request: web.BaseRequest,
        response: aiohttp.ClientResponse,
        target: Target,
        service: str,
        began: float,
    ) -> web.StreamResponse:
        async with response:
            headers = CIMultiDict(
                (name, value) for name, value in response.headers.items() if name.lower() not in _HOP_BY_HOP
            )
            length = response.content_length
            if request.method == "HEAD" or (length is not None and length <= _HELD):
                answer: web.StreamResponse = web.Response(
                    status=response.status,
                    reason=response.reason,
                    headers=headers,
                    body=await response.read(),
                )
            else:
                answer = await _stream(request, response, headers)
        self.measure.answered(target.route, service, response.status, time.perf_counter() - began)
        return answer

    def _unavailable(self, target: Target, service: str, began: float) -> web.Response:
        reason = f"{service} has no endpoint that answers; it is started again or replaced"
        answer = self._refused(target.route, service, 503, reason, began)
        answer.headers["retry-after"] = "1"
        return answer

    def _refused(self, route: str, service: str, code: int, reason: str, began: float) -> web.Response:
        self.measure.answered(route, service, code, time.perf_counter() - began)
        return error(code, reason)

    def _mirror(self, target: Target, call: Call) -> None:
        for service in target.mirrors() if target.shares else ():
            url = self.backends.choose(service, ())
            if url is None or len(self._mirrors) >= _MOST_MIRRORS:
                self.measure.event("mirror_dropped")
                continue
            task = asyncio.create_task(self._copy(url, call))
            self._mirrors.add(task)
            task.add_done_callback(self._mirrors.discard)

    async def _copy(self, url: str, call: Call) -> None:
        """Send a copy and drop its answer; whatever goes wrong is counted and nothing else."""
        try:
            with self.backends.on_its_way(url) as session:
                async with asyncio.timeout(_MIRROR_TIMEOUT):
                    target = URL(url + call.path, encoded=True)
                    async with session.request(
                        call.method,
                        target,
                        headers=call.headers,
                        data=call.body or None,
                        allow_redirects=False,
                    ) as response:
                        await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError):
            self.measure.event("mirror_failed")
        else:
            self.measure.event("mirror_sent")

    async def close(self) -> None:
        for task in self._mirrors:
            task.cancel()
        await asyncio.gather(*self._mirrors, return_exceptions=True)
        await self.backends.close()


async def _stream(
    request: web.BaseRequest, response: aiohttp.ClientResponse, headers: CIMultiDict[str]
) -> web.StreamResponse:
    answer = web.StreamResponse(status=response.status, reason=response.reason, headers=headers)
    await answer.prepare(request)
    async for chunk in response.content.iter_any():
        await answer.write(chunk)
    await answer.write_eof()
    return answer


def _sent(path: str) -> str:
    path, mark, query = path.partition("?")
    return f"{normal(path)}{mark}{query}"


def _forwarded(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """What a backend is told: everything but what concerns this connection alone."""
    named = headers.get("connection", "")
    dropped = _RESTATED | {name.strip().lower() for name in named.split(",")} if named else _RESTATED
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def error(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)
