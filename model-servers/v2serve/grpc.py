"""The gRPC services, V2's inference and health checks: a method's message in, its answer or its status out.

The messages are in codecs/open_inference.proto and codecs/health.proto.
"""

import logging
from asyncio import CancelledError, Future
from collections.abc import Callable, Sequence
from typing import Any

from v2serve.asked import Asked, chained, given_up
from v2serve.codecs.grpc import decode, encode, parse_request
from v2serve.codecs.limits import DEFAULT_LIMITS, TensorLimits
from v2serve.codecs.open_inference import message_class, parse
from v2serve.contract import TensorSpec
from v2serve.endpoint import Endpoint
from v2serve.explain.explainer import asks
from v2serve.grpc_exchange import answered, check_head, message_of, not_grpc, refused, seconds
from v2serve.lanes import INLINE_BYTES
from v2serve.metadata import Identity, model_metadata, server_metadata
from v2serve.protocol import Refusal, shown
from v2serve.released import Models
from v2serve.tensors import Array
from v2serve.wire.exchange import Answer, Request
from v2serve.wire.hub import INTERNAL

_log = logging.getLogger("v2serve")

_SERVICE, _HEALTH = "/inference.GRPCInferenceService/", "/grpc.health.v1.Health/"
_INFER = f"{_SERVICE}ModelInfer"
_ONLY_GIT = "only Git changes what is loaded: merge a release to main"


class GrpcService:
    """Answers on the wire's border, in the thread of the event loop."""

    def __init__(
        self,
        models: Models[Endpoint],
        ready: Callable[[], bool],
        body_bytes: int,
        limits: TensorLimits = DEFAULT_LIMITS,
    ) -> None:
        """`ready` says whether the server wants requests; `body_bytes` bounds a message once it is decompressed."""
        self._models = models
        self._ready = ready
        self._body_bytes = body_bytes
        self._limits = limits
        self._methods: dict[str, Callable[[bytes], Any]] = {
            f"{_SERVICE}ServerLive": self._server_live,
            f"{_SERVICE}ServerReady": self._server_ready,
            f"{_SERVICE}ModelReady": self._model_ready,
            f"{_SERVICE}ServerMetadata": self._server_metadata,
            f"{_SERVICE}ModelMetadata": self._model_metadata,
            f"{_SERVICE}RepositoryIndex": self._repository_index,
            f"{_SERVICE}RepositoryModelLoad": _only_git,
            f"{_SERVICE}RepositoryModelUnload": _only_git,
            f"{_HEALTH}Check": self._health,
        }

    def handles(self, request: Request) -> bool:
        """Paths of these services, and all else that a gRPC client asks: it wants a status, not a 404."""
        return request.path.startswith((_SERVICE, _HEALTH)) or (
            request.http == "2" and request.headers.get("content-type", "").startswith("application/grpc")
        )

    def admit(self, request: Request) -> Answer | None:
        """A refusal that needs no body, or None; asked before `answer`."""
        if (answer := not_grpc(request)) is not None:
            return answer
        try:
            check_head(request)
        except Refusal as refusal:
            return refused(refusal.status, str(refusal), refusal.headers)
        if request.path != _INFER and request.path not in self._methods:
            return refused(501, f"{shown(request.path)} is not offered; V2's methods are under {_SERVICE}")
        return None

    def decoded(self, request: Request) -> Asked | Answer | Future[Answer]:
        """An admitted inference up to its call; all other methods to their answer."""
        try:
            message = message_of(request, self._body_bytes)
            if request.path == _INFER:
                return self._decoded(request, message)
            return answered(self._methods[request.path](message).SerializeToString())
        except Exception as error:
            return self.failed(request, error)

    def encoded(self, asked: Asked, arrays: Sequence[Array]) -> Answer:
        asked.endpoint.note(asked.call, arrays)
        return answered(encode(asked.call, arrays, asked.endpoint.release))  # type: ignore[arg-type]

    def later(self, asked: Asked, arrays: Future[Sequence[Array]]) -> Future[Answer]:
        return chained(arrays, lambda done: self._finished(asked, done))

    def _finished(self, asked: Asked, done: Future[Sequence[Array]]) -> Answer:
        try:
            return self.encoded(asked, done.result())
        except CancelledError:
            return self.failed(asked.request, given_up())
        except Exception as error:
            return self.failed(asked.request, error)

    def failed(self, request: Request, error: BaseException) -> Answer:
        if isinstance(error, Refusal):
            return refused(error.status, str(error), error.headers)
        _log.error("%s failed", request.path, exc_info=error)
        return refused(500, INTERNAL)

    def _decoded(self, request: Request, message: bytes) -> Asked | Future[Answer]:
        parsed = parse_request(message)
        endpoint = self._models.find(parsed.model_name, parsed.model_version or None)
        endpoint.begin(request)
        call = decode(parsed, endpoint.check, self._limits)
        request.call_id = call.id
        timeout = request.headers.get("grpc-timeout")
        if timeout is not None:
            call.deadline = request.begin + seconds(timeout)
        if call.parameters:
            endpoint.check_parameters(call)
        asked = Asked(request, endpoint, call, self)
        if len(message) <= INLINE_BYTES or asks(call.parameters):
            return asked
        return self.later(asked, endpoint.lane.work(lambda: endpoint.run_now(call), call.deadline))

    def _server_live(self, message: bytes) -> Any:
        _parse("ServerLiveRequest", message)
        return _made("ServerLiveResponse", live=True)

    def _server_ready(self, message: bytes) -> Any:
        _parse("ServerReadyRequest", message)
        return _made("ServerReadyResponse", ready=self._ready())

    def _model_ready(self, message: bytes) -> Any:
        asked = _parse("ModelReadyRequest", message)
        served = self._models.find(asked.name, asked.version or None)
        return _made("ModelReadyResponse", ready=self._ready() and served.ready)

    def _server_metadata(self, message: bytes) -> Any:
        _parse("ServerMetadataRequest", message)
        told = server_metadata()
        return _made(
            "ServerMetadataResponse", name=told.name, version=told.version, extensions=told.extensions
        )

    def _model_metadata(self, message: bytes) -> Any:
        asked = _parse("ModelMetadataRequest", message)
        served = self._models.find(asked.name, asked.version or None)
        told = model_metadata(
            Identity(served.name, served.version, served.digest, served.run, served.contract)
        )
        return _made(
            "ModelMetadataResponse",
            name=told.name,
            versions=told.versions or (),
            platform=told.platform,
            inputs=list(map(_tensor, told.inputs)),
            outputs=list(map(_tensor, told.outputs)),
            properties=told.properties,
        )

    def _repository_index(self, message: bytes) -> Any:
        asked = _parse("RepositoryIndexRequest", message)
        rows = []
        for served in self._models:
            ready = self._ready() and served.ready
            if ready or not asked.ready:
                state = "READY" if ready else "UNAVAILABLE"
                rows.append({"name": served.name, "version": served.version or "", "state": state})
        return _made("RepositoryIndexResponse", models=rows)

    def _health(self, message: bytes) -> Any:
        """Of the server, which is an empty name or V2's service, or of a model by its name."""
        service = parse(message_class("grpc.health.v1.HealthCheckRequest"), message).service
        ready = self._ready()
        if service not in ("", _SERVICE.strip("/")):
            ready = self._models.find(service, None).ready and ready
        status = "SERVING" if ready else "NOT_SERVING"
        return message_class("grpc.health.v1.HealthCheckResponse")(status=status)


def _only_git(_: bytes) -> Any:
    raise Refusal(501, _ONLY_GIT)


def _parse(name: str, message: bytes) -> Any:
    return parse(message_class(f"inference.{name}"), message)


def _made(name: str, /, **fields: Any) -> Any:
    return message_class(f"inference.{name}")(**fields)


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.shape}
