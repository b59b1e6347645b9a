"""The gRPC services, V2's inference and health checks: a method's message in, its answer or its status out.

The messages are in codecs/open_inference.proto and codecs/health.proto.
"""

import logging
from asyncio import Future
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from v2serve.call import Call
from v2serve.codecs.grpc import GrpcCall, decode, encode, parse_request
from v2serve.codecs.limits import DEFAULT_LIMITS, TensorLimits
from v2serve.codecs.open_inference import message_class, parse
from v2serve.codecs.release import ReleaseName
from v2serve.contract import Contract, RequestCheck, TensorSpec
from v2serve.grpc_exchange import answered, check_head, message_of, not_grpc, refused, seconds
from v2serve.lanes import INLINE_BYTES, Lane, Result
from v2serve.metadata import Identity, model_metadata, server_metadata
from v2serve.protocol import Refusal, shown
from v2serve.tensors import Array
from v2serve.wire.exchange import Answer, Request

_log = logging.getLogger("v2serve")

_SERVICE, _HEALTH = "/inference.GRPCInferenceService/", "/grpc.health.v1.Health/"
_INFER = f"{_SERVICE}ModelInfer"
_ONLY_GIT = "only Git changes what is loaded: merge a release to main"


class Served(Protocol):
    """One release of a model, as far as gRPC asks it."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str | None: ...
    @property
    def digest(self) -> str: ...
    @property
    def run(self) -> str | None: ...
    @property
    def contract(self) -> Contract: ...
    @property
    def check(self) -> RequestCheck: ...
    @property
    def ready(self) -> bool: ...
    @property
    def lane(self) -> Lane: ...
    @property
    def infer(self) -> Callable[[Call], Result]: ...
    @property
    def run_now(self) -> Callable[[Call], Sequence[Array]]: ...
    @property
    def release(self) -> ReleaseName: ...
    def begin(self, request: Request) -> None: ...
    def note(self, call: Call, arrays: Sequence[Array]) -> None: ...


class Models(Protocol):
    """What is served; `find` raises Refusal 404, and takes None for whichever version there is."""

    def __iter__(self) -> Iterator[Served]: ...
    def find(self, name: str, version: str | None) -> Served: ...


class GrpcService:
    """Answers on the wire's border, in the thread of the event loop."""

    def __init__(
        self,
        models: Models,
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

    def answer(self, request: Request) -> Answer | Future[Answer]:
        """The answer to an admitted request; a future where the model gives one."""
        try:
            message = message_of(request, self._body_bytes)
            if request.path == _INFER:
                return self._infer(request, message)
            return answered(self._methods[request.path](message).SerializeToString())
        except Exception as error:
            return _failed(error)

    def _infer(self, request: Request, message: bytes) -> Answer | Future[Answer]:
        asked = parse_request(message)
        served = self._models.find(asked.model_name, asked.model_version or None)
        served.begin(request)
        call = decode(asked, served.check, self._limits)
        request.call_id = call.id
        timeout = request.headers.get("grpc-timeout")
        if timeout is not None:
            call.deadline = request.begin + seconds(timeout)
        if len(message) > INLINE_BYTES:
            return _later(served.lane.work(lambda: served.run_now(call), call.deadline), call, served)
        result = served.infer(call)
        if isinstance(result, Future):
            return _later(result, call, served)
        served.note(call, result)
        return answered(encode(call, result, served.release))

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


def _later(result: Future[Sequence[Array]], call: GrpcCall, served: Served) -> Future[Answer]:
    """The answer once the arrays are there; who cancels it gives up the arrays too."""
    answer: Future[Answer] = result.get_loop().create_future()
    result.add_done_callback(partial(_finish, answer, call, served))
    answer.add_done_callback(lambda done: result.cancel() if done.cancelled() else None)
    return answer


def _finish(answer: Future[Answer], call: GrpcCall, served: Served, result: Future[Sequence[Array]]) -> None:
    if answer.done():  # the caller left
        return
    if result.cancelled():
        answer.set_result(refused(503, "the server gave this request up; ask again"))
        return
    try:
        arrays = result.result()
        served.note(call, arrays)
        answer.set_result(answered(encode(call, arrays, served.release)))
    except Exception as error:
        answer.set_result(_failed(error))


def _failed(error: Exception) -> Answer:
    if isinstance(error, Refusal):
        return refused(error.status, str(error), error.headers)
    _log.error("a request failed", exc_info=error)
    return refused(500, "internal error; the server's log says more")
