"""REST of the V2 protocol as an RSGI application: routes, bodies, statuses; knows nothing of tensors."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from v2serve.metadata import Identity, model_metadata, server_metadata
from v2serve.metrics import Exposition, Metrics
from v2serve.protocol import Error, Refusal, encode, shown

_log = logging.getLogger("v2serve")

_GET = "GET, HEAD"
_ONLY_GIT = "only Git changes what is loaded: merge a release to main"
_JSON = "application/json"
# Bytes of a refused body that are read and dropped, so that the caller can hear the answer before the close.
_DISCARD = 64 << 20


class Headers(Protocol):
    def get(self, key: str, default: str | None = None) -> str | None: ...


class Scope(Protocol):
    method: str
    path: str

    @property
    def headers(self) -> Headers: ...


class Exchange(Protocol):
    """RSGI's HTTP protocol object: the body in, the response out."""

    async def __call__(self) -> bytes: ...
    def __aiter__(self) -> "Exchange": ...
    async def __anext__(self) -> bytes: ...
    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...


Answer = tuple[int, list[tuple[str, str]], bytes]  # status, headers, body


class App:
    """One model's REST surface."""

    def __init__(
        self,
        identity: Identity,
        infer: Callable[[bytes], bytes],
        metrics: Metrics,
        max_body_bytes: int,
        executor: ThreadPoolExecutor | None = None,
    ) -> None:
        self._identity = identity
        self._infer = infer
        self._metrics = metrics
        self._exposition = Exposition(metrics)
        self._max_body_bytes = max_body_bytes
        self._executor = executor
        self._headers = [("content-type", _JSON), ("x-model-digest", identity.digest)]
        self._infer_paths = frozenset(f"{root}/infer" for root in identity.roots)
        self._reads = self._routes()

    def drain(self) -> None:
        """Say not ready from now on, and ask each caller to connect elsewhere after its answer."""
        self._metrics.ready = False
        self._headers = [*self._headers, ("connection", "close")]

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        if scope.path in self._infer_paths:
            await self._inference(scope, exchange)
        else:
            self._read(scope, exchange)

    async def _inference(self, scope: Scope, exchange: Exchange) -> None:
        begin = time.perf_counter()
        metrics = self._metrics
        metrics.in_flight += 1
        body, headers = b"", self._headers
        try:
            length = self._admit(scope)
            if length is None or length > self._max_body_bytes:
                body = await self._bounded(exchange, length)
            else:
                body = await exchange()
            status, answer = 200, self._infer(body) if self._executor is None else await self._elsewhere(body)
        except Refusal as refusal:
            status, answer = refusal.status, _error(str(refusal))
            if status == 405:
                headers = [*headers, ("allow", "POST")]
        except Exception:
            _log.exception("a request failed")
            status, answer = 500, _error("internal error; the server's log says more")
        finally:
            metrics.in_flight -= 1
        exchange.response_bytes(status, headers, answer)
        metrics.observe(status, time.perf_counter() - begin, len(body), len(answer))

    async def _elsewhere(self, body: bytes) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._infer, body)

    def _admit(self, scope: Scope) -> int | None:
        """The declared length of a body that is worth reading."""
        if scope.method != "POST":
            raise Refusal(405, f"{scope.method} is not offered here; use POST")
        headers = scope.headers
        _check_content(headers)
        length = headers.get("content-length")
        return None if length is None else int(length)

    async def _bounded(self, exchange: Exchange, length: int | None) -> bytes:
        """A body of unknown length, never holding more of it than is allowed."""
        if length is not None:
            await _discard(exchange, length)
            raise Refusal(413, self._too_large(f"{length} bytes"))
        chunks, size = [], 0
        async for chunk in exchange:
            size += len(chunk)
            if size > self._max_body_bytes:
                raise Refusal(413, self._too_large("more"))
            chunks.append(chunk)
        return b"".join(chunks)

    def _too_large(self, given: str) -> str:
        return f"the body has {given}; V2SERVE_MAX_BODY_BYTES allows {self._max_body_bytes}"

    def _read(self, scope: Scope, exchange: Exchange) -> None:
        answer = self._reads.get(scope.path)
        if answer is None:
            exchange.response_bytes(*self._unrouted(scope.path))
        elif scope.method not in ("GET", "HEAD"):
            refusal = _error(f"{scope.method} is not offered here; use GET")
            exchange.response_bytes(405, [*self._headers, ("allow", _GET)], refusal)
        else:
            exchange.response_bytes(*answer(scope))

    def _exposed(self, scope: Scope) -> Answer:
        content_type, text = self._exposition.render(scope.headers.get("accept") or "")
        return 200, [("content-type", content_type), *self._headers[1:]], text

    def _unrouted(self, path: str) -> Answer:
        """Why nothing is here: Git decides, another model, another version, or a path that V2 does not have."""
        if path.startswith("/v2/repository"):
            return 501, self._headers, _error(_ONLY_GIT)
        return 404, self._headers, _error(_absence(self._identity, path))

    def _routes(self) -> dict[str, Callable[[Scope], Answer]]:
        identity = self._identity
        server = self._fixed(server_metadata())
        reads: dict[str, Callable[[Scope], Answer]] = {
            "/v2": server,
            "/v2/": server,
            "/v2/health/live": self._fixed({"live": True}),
            # KServe reads "ready"; the letter of the specification says "live".
            "/v2/health/ready": self._readiness({"ready": True, "live": True}),
            "/v2/models": self._fixed({"models": [identity.name]}),
            "/metrics": self._exposed,
        }
        for root in identity.roots:
            reads[root] = self._fixed(model_metadata(identity))
            reads[f"{root}/ready"] = self._readiness({"name": identity.name, "ready": True})
        return reads

    def _fixed(self, message: object) -> Callable[[Scope], Answer]:
        text = encode(message)
        return lambda _: (200, self._headers, text)

    def _readiness(self, message: dict[str, object]) -> Callable[[Scope], Answer]:
        ready = encode(message)
        # Probes read the status, clients the field, people the error.
        draining = encode({**message, "ready": False, "error": "draining: the server was told to stop"})
        return lambda _: (
            (200, self._headers, ready) if self._metrics.ready else (503, self._headers, draining)
        )


def _check_content(headers: Headers) -> None:
    kind = headers.get("content-type")
    if kind is not None and kind != _JSON and kind.partition(";")[0].strip().lower() != _JSON:
        raise Refusal(415, f"content-type {shown(kind)} is not taken; send {_JSON}")
    encoding = headers.get("content-encoding")
    if encoding is not None and encoding.lower() != "identity":
        raise Refusal(415, f"content-encoding {shown(encoding)} is not taken; send the body as it is")


async def _discard(exchange: Exchange, length: int) -> None:
    if length <= _DISCARD:
        async for _ in exchange:
            pass


def _error(message: str) -> bytes:
    return encode(Error(message))


def _absence(identity: Identity, path: str) -> str:
    parts = path.split("/")
    if parts[:3] == ["", "v2", "models"] and len(parts) > 3:
        if parts[3] != identity.name:
            return f"model {shown(parts[3])} is not served here; this server serves {identity.name}"
        if len(parts) > 5 and parts[4] == "versions" and parts[5] != identity.version:
            serves = f"version {identity.version} is" if identity.version else "it has no version"
            return f"version {shown(parts[5])} of {identity.name} is not served here; {serves}"
    return f"no such path: {shown(path)}; GET /v2 says what this server is"
