"""REST of the V2 protocol as an RSGI application: routes, bodies, statuses; knows nothing of tensors."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from v2serve.body import Bodies
from v2serve.metadata import Identity, model_metadata, server_metadata
from v2serve.metrics import Exposition, Metrics
from v2serve.protocol import Error, Refusal, encode, shown
from v2serve.rsgi import Exchange, Headers, Scope

_log = logging.getLogger("v2serve")

_GET = "GET, HEAD"
_ONLY_GIT = "only Git changes what is loaded: merge a release to main"
_JSON = "application/json"
_BINARY = "; binary tensor data is the binary extension of V2, which is not offered"

Answer = tuple[int, list[tuple[str, str]], bytes]  # status, headers, body


class App:
    """One model's REST surface."""

    def __init__(
        self,
        identity: Identity,
        infer: Callable[[bytes], bytes | bytearray],
        metrics: Metrics,
        bodies: Bodies,
        executor: ThreadPoolExecutor,
        inline_bytes: int,
    ) -> None:
        """Bodies above `inline_bytes` are inferred in the executor, the others where they arrive."""
        self._identity = identity
        self._infer = infer
        self._metrics = metrics
        self._exposition = Exposition(metrics)
        self._bodies = bodies
        self._executor = executor
        self._inline_bytes = inline_bytes
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
            await self._read(scope, exchange)

    async def _inference(self, scope: Scope, exchange: Exchange) -> None:
        begin = time.perf_counter()
        metrics = self._metrics
        metrics.in_flight += 1
        body, headers = b"", self._headers
        try:
            body = await self._received(scope, exchange)
            inline = len(body) <= self._inline_bytes
            status, answer = 200, self._infer(body) if inline else await self._elsewhere(body)
        except Refusal as refusal:
            status, answer = refusal.status, _error(str(refusal))
            headers = [*headers, *refusal.headers]
        except Exception:
            _log.exception("a request failed")
            status, answer = 500, _error("internal error; the server's log says more")
        finally:
            metrics.in_flight -= 1
        exchange.response_bytes(status, headers, answer)
        metrics.observe(status, time.perf_counter() - begin, len(body), len(answer))

    async def _elsewhere(self, body: bytes) -> bytes | bytearray:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._infer, body)

    async def _received(self, scope: Scope, exchange: Exchange) -> bytes:
        headers = scope.headers
        try:
            _admit(scope.method, headers)
        except Refusal as refusal:
            refusal.headers += await self._bodies.drop(headers, exchange)
            raise
        return await self._bodies.receive(headers, exchange)

    async def _read(self, scope: Scope, exchange: Exchange) -> None:
        left = await self._bodies.drop(scope.headers, exchange)
        status, headers, body = self._read_answer(scope)
        exchange.response_bytes(status, [*headers, *left], body)

    def _read_answer(self, scope: Scope) -> Answer:
        answer = self._reads.get(scope.path)
        if answer is None:
            return self._unrouted(scope.path)
        if scope.method not in ("GET", "HEAD"):
            refusal = _error(f"{scope.method} is not offered here; use GET")
            return 405, [*self._headers, ("allow", _GET)], refusal
        return answer(scope)

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


def _admit(method: str, headers: Headers) -> None:
    """Refuse what no body could mend: 405, 415."""
    if method != "POST":
        raise Refusal(405, f"{method} is not offered here; use POST", (("allow", "POST"),))
    _check_content(headers)


def _check_content(headers: Headers) -> None:
    kind = headers.get("content-type")
    if kind is not None and kind != _JSON and kind.partition(";")[0].strip().lower() != _JSON:
        binary = _BINARY if kind.lower().startswith("application/octet-stream") else ""
        raise Refusal(415, f"content-type {shown(kind)} is not taken; send {_JSON}{binary}")
    encoding = headers.get("content-encoding")
    if encoding is not None and encoding.lower() != "identity":
        raise Refusal(415, f"content-encoding {shown(encoding)} is not taken; send the body as it is")


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
