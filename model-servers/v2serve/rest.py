"""REST inference: a request's bytes to an answer's, at once where that is quick, in the model's threads where not."""

import asyncio
import logging
from asyncio import Future
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from v2serve.asked import Asked
from v2serve.codecs.compression import SMALLEST, choose, compress, decompress
from v2serve.codecs.limits import TensorLimits
from v2serve.codecs.rest import HEADER, RestCall, decode, encode
from v2serve.endpoint import BINARY, JSON, Endpoint
from v2serve.lanes import INLINE_BYTES
from v2serve.protocol import Error, Refusal, shown
from v2serve.protocol import encode as encode_message
from v2serve.tensors import Array
from v2serve.wire.exchange import Answer, Headers, Request

# A longer answer would hold up the health checks of the loop's thread.
_INLINE_VALUES = 1 << 13
_MICROSECONDS = 1e-6
_INTERNAL = "internal error; the server's log says more"

_log = logging.getLogger("v2serve")


def admit(request: Request) -> None:
    """Refuse what no body could mend: 405, 415."""
    if request.method != "POST":
        raise Refusal(405, f"{request.method[:20]} is not offered here; use POST", (("allow", "POST"),))
    kind = request.headers.get("content-type")
    if kind is None or kind == JSON:
        return
    essence = kind.partition(";")[0].strip().lower()
    if essence == BINARY and HEADER not in request.headers:
        raise Refusal(
            400,
            f"content-type {BINARY} needs the header Inference-Header-Content-Length; say how long the JSON is",
        )
    if essence not in (JSON, BINARY):
        raise Refusal(415, f"content-type {shown(kind)} is not taken; send {JSON} or {BINARY}")


class RestInference:
    """The infer endpoint of every model."""

    def __init__(self, tensors: TensorLimits, body_bytes: int) -> None:
        """`body_bytes` bounds a body once it is decompressed."""
        self._tensors = tensors
        self._body_bytes = body_bytes
        self._writer = ThreadPoolExecutor(1, "answers")  # not the model's threads, whose queue may be full

    def decoded(self, endpoint: Endpoint, request: Request) -> Asked | Answer | Future[Answer]:
        """The first step of a small request; all of a large one, in a thread."""
        try:
            if len(request.body) > INLINE_BYTES or "content-encoding" in request.headers:
                work = endpoint.lane.work(lambda: self._whole(endpoint, request))
                return self._task(request, _taken(endpoint, work))
            return Asked(request, endpoint, self._call(endpoint, request, request.body), self)
        except Exception as error:
            return self.failed(request, error)

    def encoded(self, asked: Asked, arrays: Sequence[Array]) -> Answer | Future[Answer]:
        asked.endpoint.note(asked.call, arrays)
        if sum([array.size for array in arrays]) > _INLINE_VALUES:
            return self._task(asked.request, self._written(asked, arrays))
        return _answer(asked, arrays)

    def later(self, asked: Asked, arrays: Future[Sequence[Array]]) -> Future[Answer]:
        return self._task(asked.request, self._awaited(asked, arrays))

    def failed(self, request: Request, error: BaseException) -> Answer:
        """A refusal in its own words; anything else is ours."""
        headers: Headers = request.context.json_headers
        if isinstance(error, Refusal):
            return Answer(error.status, (*headers, *error.headers), encode_message(Error(str(error))))
        _log.error("%s failed", request.path, exc_info=error)
        return Answer(500, headers, encode_message(Error(_INTERNAL)))

    def _call(self, endpoint: Endpoint, request: Request, body: bytes) -> RestCall:
        call = decode(body, request.headers.get(HEADER), endpoint.check, self._tensors)
        request.call_id = call.id
        if call.parameters:
            call.deadline = _deadline(call.parameters, request.begin)
        return call

    def _whole(self, endpoint: Endpoint, request: Request) -> tuple[Answer, RestCall, Sequence[Array]]:
        """Everything about one request, in a thread."""
        coding = request.headers.get("content-encoding", "")
        call = self._call(endpoint, request, decompress(coding, request.body, self._body_bytes))
        arrays = endpoint.run_now(call)
        return _answer(Asked(request, endpoint, call, self), arrays), call, arrays

    async def _awaited(self, asked: Asked, arrays: Future[Sequence[Array]]) -> Answer:
        made = self.encoded(asked, await arrays)
        return await made if isinstance(made, Future) else made

    async def _written(self, asked: Asked, arrays: Sequence[Array]) -> Answer:
        """A long answer is written in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, _answer, asked, arrays)

    def _task(self, request: Request, making: Coroutine[Any, Any, Answer]) -> Future[Answer]:
        async def settled() -> Answer:
            try:
                return await making
            except Exception as error:
                return self.failed(request, error)

        return asyncio.get_running_loop().create_task(settled())


async def _taken(endpoint: Endpoint, work: Future[tuple[Answer, RestCall, Sequence[Array]]]) -> Answer:
    answer, call, arrays = await work
    endpoint.note(call, arrays)
    return answer


def _answer(asked: Asked, arrays: Sequence[Array]) -> Answer:
    endpoint = asked.endpoint
    body, json_bytes = encode(asked.call, arrays, endpoint.release)  # type: ignore[arg-type]
    told: Headers = endpoint.json_headers
    if json_bytes is not None:
        told = (*endpoint.binary_headers, (HEADER, str(json_bytes)))
    if len(body) >= SMALLEST and (coding := choose(asked.request.headers.get("accept-encoding"))):
        told = (*told, ("content-encoding", coding), ("vary", "accept-encoding"))
        return Answer(200, told, compress(coding, body))
    return Answer(200, told, body)


def _deadline(parameters: Mapping[str, object], begin: float) -> float | None:
    """`timeout` is in microseconds, as Triton's clients send it; 0 is none."""
    timeout = parameters.get("timeout", 0)
    if type(timeout) is not int or timeout < 0:
        raise Refusal(400, f"parameter timeout is {shown(str(timeout))}; give microseconds, an integer")
    return begin + timeout * _MICROSECONDS if timeout else None
