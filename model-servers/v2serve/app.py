"""What the server answers on which path: inference over REST and gRPC, health, metadata, the repository, metrics."""

from asyncio import Future
from collections.abc import Callable, Sequence
from functools import partial

from v2serve.asked import Asked
from v2serve.codecs.rest import HEADER
from v2serve.endpoint import JSON, Endpoint
from v2serve.grpc import GrpcService
from v2serve.grpc_exchange import refused
from v2serve.metadata import Identity, model_metadata, server_metadata
from v2serve.observe.metrics import BINARY, GRPC, REST
from v2serve.observe.observer import Observer
from v2serve.protocol import Refusal, encode, error_body, shown
from v2serve.released import Models
from v2serve.rest import RestInference, admit
from v2serve.wire.exchange import Answer, Headers, Request

_ONLY_GIT = "only Git changes what is loaded: merge a release to main"
_GET, _POST = ("GET", "HEAD"), ("POST",)

Reader = Callable[[Request], Answer]


class App:
    """The application of one server."""

    def __init__(
        self, endpoints: Models[Endpoint], rest: RestInference, grpc: GrpcService, observer: Observer
    ) -> None:
        self._endpoints = endpoints
        self._rest = rest
        self._grpc = grpc
        self._observer = observer
        self._draining = False
        self._headers = _server_headers(endpoints)
        self._infer = {f"{root}/infer": endpoint for endpoint in endpoints for root in endpoint.roots}
        self._readers = self._routes()

    def drain(self) -> None:
        """Say not ready from now on."""
        self._draining = True
        self._observer.drain()

    def ready(self) -> bool:
        return not self._draining and self._endpoints.ready

    @property
    def busy(self) -> bool:
        """Whether a model is at work, or has calls waiting, in its threads."""
        return any(endpoint.lane.running or endpoint.lane.queued for endpoint in self._endpoints)

    def admit(self, request: Request) -> Answer | None:
        endpoint = self._infer.get(request.path)
        try:
            if endpoint is not None:
                endpoint.begin(request)
                admit(request)
            elif self._grpc.handles(request):
                refusal = self._grpc.admit(request)
                return refusal and self._noted(request, refusal)
            else:
                self._admit_read(request)
        except Refusal as problem:
            return self._noted(request, self._refused(request, problem))
        return None

    def answers(self, requests: Sequence[Request]) -> list[Answer | Future[Answer]]:
        """Decode all, run all, encode all: each step finds its code in the processor's caches."""
        made = [self._decoded(request) for request in requests]
        for one in made:
            if type(one) is Asked:
                one.run()
        return [one.answer() if type(one) is Asked else one for one in made]  # type: ignore[misc]

    def _decoded(self, request: Request) -> Asked | Answer | Future[Answer]:
        endpoint = request.context
        if endpoint is not None:
            return self._rest.decoded(endpoint, request)
        if self._grpc.handles(request):
            return self._grpc.decoded(request)
        return self._readers[request.path][1](request)

    def refuse(self, request: Request | None, status: int, message: str) -> Answer:
        if request is not None and self._grpc.handles(request):
            return refused(status, message)
        endpoint: Endpoint | None = None if request is None else request.context
        headers = self._headers if endpoint is None else endpoint.json_headers
        return Answer(status, headers, error_body(message))

    def answered(self, request: Request, answer: Answer | None) -> None:
        endpoint: Endpoint | None = request.context
        watched = None if endpoint is None else endpoint.watched
        self._observer.answered(request, answer, watched, _protocol(request), request.call_id)

    def _refused(self, request: Request, refusal: Refusal) -> Answer:
        answer = self.refuse(request, refusal.status, str(refusal))
        return answer._replace(headers=(*answer.headers, *refusal.headers)) if refusal.headers else answer

    def _noted(self, request: Request, refusal: Answer) -> Answer:
        """The wire tells of the answers to what was admitted; this one was not."""
        self.answered(request, refusal)
        return refusal

    def _admit_read(self, request: Request) -> None:
        found = self._readers.get(request.path)
        if found is None:
            raise self._unrouted(request.path)
        methods = found[0]
        if request.method not in methods:
            allowed = (("allow", ", ".join(methods)),)
            raise Refusal(405, f"{request.method[:20]} is not offered here; use {methods[0]}", allowed)

    def _unrouted(self, path: str) -> Refusal:
        """Why nothing is here: Git decides, another model, another version, or a path that V2 does not have."""
        if path.startswith("/v2/repository/models/"):
            return Refusal(501, _ONLY_GIT)
        parts = path.split("/")
        if parts[:3] == ["", "v2", "models"] and len(parts) > 3:
            version = parts[5] if len(parts) > 5 and parts[4] == "versions" else None
            try:
                self._endpoints.find(parts[3], version)
            except Refusal as refusal:
                return refusal
        return Refusal(404, f"no such path: {shown(path)}; GET /v2 says what this server is")

    def _routes(self) -> dict[str, tuple[tuple[str, ...], Reader]]:
        server = self._fixed(self._headers, server_metadata())
        names = [endpoint.name for endpoint in self._endpoints]
        routes: dict[str, tuple[tuple[str, ...], Reader]] = {
            "/v2": (_GET, server),
            "/v2/": (_GET, server),
            "/v2/health/live": (_GET, self._live),
            "/v2/health/ready": (_GET, self._server_ready),
            "/v2/models": (_GET, self._fixed(self._headers, {"models": names})),
            "/v2/repository/index": (_POST, self._index),
            "/metrics": (_GET, self._exposed),
        }
        for endpoint in self._endpoints:
            for root in endpoint.roots:
                told = model_metadata(_identity(endpoint))
                routes[root] = (_GET, self._fixed(endpoint.json_headers, told))
                routes[f"{root}/ready"] = (_GET, partial(self._model_ready, endpoint))
        return routes

    def _fixed(self, headers: Headers, message: object) -> Reader:
        answer = Answer(200, headers, encode(message))
        return lambda _: answer

    def _live(self, _: Request) -> Answer:
        """Not live where every worker of a model hangs: only a new process helps."""
        if self._endpoints.ready:
            return Answer(200, self._headers, encode({"live": True}))
        return Answer(503, self._headers, encode({"live": False, "error": self._reason()}))

    def _server_ready(self, _: Request) -> Answer:
        # KServe reads "ready"; the letter of the specification says "live".
        return self._readiness(self.ready(), {"live": True}, self._headers)

    def _model_ready(self, endpoint: Endpoint, _: Request) -> Answer:
        ready = endpoint.ready and not self._draining
        return self._readiness(ready, {"name": endpoint.name}, endpoint.json_headers)

    def _readiness(self, ready: bool, message: dict[str, object], headers: Headers) -> Answer:
        """Probes read the status, clients the field, people the error."""
        if ready:
            return Answer(200, headers, encode({**message, "ready": True}))
        return Answer(503, headers, encode({**message, "ready": False, "error": self._reason()}))

    def _reason(self) -> str:
        if self._draining:
            return "draining: the server was told to stop"
        stuck = ", ".join(endpoint.name for endpoint in self._endpoints if not endpoint.ready)
        return f"every worker of {stuck} hangs; restart the server"

    def _index(self, _: Request) -> Answer:
        """As Triton's repository extension has it; what is not loaded is not known here."""
        rows = [
            {
                "name": endpoint.name,
                "version": endpoint.version or "",
                "state": "READY" if endpoint.ready and not self._draining else "UNAVAILABLE",
                "reason": "",
            }
            for endpoint in self._endpoints
        ]
        return Answer(200, self._headers, encode(rows))

    def _exposed(self, request: Request) -> Answer:
        kind, text = self._observer.render(request.headers.get("accept", ""))
        return Answer(200, (("content-type", kind), *self._headers[1:]), text)


def _server_headers(endpoints: Models[Endpoint]) -> Headers:
    """Of answers that are about no model: where there is one only, its digest."""
    digests = [endpoint.digest for endpoint in endpoints]
    told: Headers = (("x-model-digest", digests[0]),) if len(digests) == 1 else ()
    return (("content-type", JSON), *told)


def _identity(endpoint: Endpoint) -> Identity:
    return Identity(endpoint.name, endpoint.version, endpoint.digest, endpoint.run, endpoint.contract)


def _protocol(request: Request) -> str:
    if request.path.startswith(("/inference.", "/grpc.")):
        return GRPC
    return BINARY if HEADER in request.headers else REST
