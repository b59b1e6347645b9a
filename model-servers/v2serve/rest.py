"""REST inference: a request's bytes to an answer's, at once where that is quick, in the model's threads where not."""

import asyncio
from asyncio import Future
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from v2serve.codecs.compression import SMALLEST, choose, compress, decompress
from v2serve.codecs.limits import TensorLimits
from v2serve.codecs.rest import HEADER, RestCall, decode, encode
from v2serve.endpoint import BINARY, JSON, Endpoint
from v2serve.lanes import INLINE_BYTES
from v2serve.protocol import Refusal, shown
from v2serve.tensors import Array
from v2serve.wire.exchange import Answer, Headers, Request

# A longer answer would hold up the health checks of the loop's thread.
_INLINE_VALUES = 1 << 13
_MICROSECONDS = 1e-6


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
    """The infer endpoint of every model; refusals are raised, at once or by the future."""

    def __init__(self, tensors: TensorLimits, body_bytes: int) -> None:
        """`body_bytes` bounds a body once it is decompressed."""
        self._tensors = tensors
        self._body_bytes = body_bytes
        self._writer = ThreadPoolExecutor(1, "answers")  # not the model's threads, whose queue may be full

    def answer(self, endpoint: Endpoint, request: Request) -> Answer | Future[Answer]:
        headers = request.headers
        if len(request.body) > INLINE_BYTES or "content-encoding" in headers:
            return _task(self._elsewhere(endpoint, request))
        call = self._call(endpoint, request, request.body)
        result = endpoint.infer(call)
        if isinstance(result, Future):
            return _task(self._later(endpoint, headers, call, result))
        if sum([array.size for array in result]) > _INLINE_VALUES:
            return _task(self._written(endpoint, headers, call, result))
        endpoint.note(call, result)
        return _answer(endpoint, headers, call, result)

    async def _elsewhere(self, endpoint: Endpoint, request: Request) -> Answer:
        answer, call, arrays = await endpoint.lane.work(lambda: self._whole(endpoint, request))
        endpoint.note(call, arrays)
        return answer  # type: ignore[no-any-return]

    def _whole(self, endpoint: Endpoint, request: Request) -> tuple[Answer, RestCall, Sequence[Array]]:
        """Everything about one request, in a thread."""
        coding = request.headers.get("content-encoding", "")
        call = self._call(endpoint, request, decompress(coding, request.body, self._body_bytes))
        arrays = endpoint.run_now(call)
        return _answer(endpoint, request.headers, call, arrays), call, arrays

    def _call(self, endpoint: Endpoint, request: Request, body: bytes) -> RestCall:
        call = decode(body, request.headers.get(HEADER), endpoint.check, self._tensors)
        request.call_id = call.id
        if call.parameters:
            call.deadline = _deadline(call.parameters, request.begin)
        return call

    async def _later(
        self, endpoint: Endpoint, headers: Mapping[str, str], call: RestCall, result: Future[Sequence[Array]]
    ) -> Answer:
        arrays = await result
        if sum([array.size for array in arrays]) > _INLINE_VALUES:
            return await self._written(endpoint, headers, call, arrays)
        endpoint.note(call, arrays)
        return _answer(endpoint, headers, call, arrays)

    async def _written(
        self, endpoint: Endpoint, headers: Mapping[str, str], call: RestCall, arrays: Sequence[Array]
    ) -> Answer:
        """A long answer is written in a thread."""
        endpoint.note(call, arrays)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, _answer, endpoint, headers, call, arrays)


def _answer(
    endpoint: Endpoint, headers: Mapping[str, str], call: RestCall, arrays: Sequence[Array]
) -> Answer:
    body, json_bytes = encode(call, arrays, endpoint.release)
    told: Headers = endpoint.json_headers
    if json_bytes is not None:
        told = (*endpoint.binary_headers, (HEADER, str(json_bytes)))
    if len(body) >= SMALLEST and (coding := choose(headers.get("accept-encoding"))):
        told = (*told, ("content-encoding", coding), ("vary", "accept-encoding"))
        return Answer(200, told, compress(coding, body))
    return Answer(200, told, body)


def _deadline(parameters: Mapping[str, object], begin: float) -> float | None:
    """`timeout` is in microseconds, as Triton's clients send it; 0 is none."""
    timeout = parameters.get("timeout", 0)
    if type(timeout) is not int or timeout < 0:
        raise Refusal(400, f"parameter timeout is {shown(str(timeout))}; give microseconds, an integer")
    return begin + timeout * _MICROSECONDS if timeout else None


def _task(awaited: Coroutine[Any, Any, Answer]) -> Future[Answer]:
    return asyncio.get_running_loop().create_task(awaited)
