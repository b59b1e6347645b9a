"""REST inference: a request's bytes to an answer's, at once where that is quick, in the model's threads where not."""

import asyncio
import logging
from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import NamedTuple

from v2serve.asked import Asked, chained, given_up
from v2serve.codecs.compression import SMALLEST, choose, compress, decompress
from v2serve.codecs.limits import TensorLimits
from v2serve.codecs.rest import HEADER, RestCall, decode, encode
from v2serve.endpoint import BINARY, JSON, Endpoint
from v2serve.explain.explainer import asks
from v2serve.lanes import INLINE_BYTES, late
from v2serve.protocol import Refusal, error_body, shown
from v2serve.tensors import Array
from v2serve.wire.exchange import Answer, Headers, Request
from v2serve.wire.hub import INTERNAL

# A longer answer would hold up the health checks of the loop's thread.
_INLINE_VALUES = 1 << 13
_MICROSECONDS = 1e-6

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
                return self._elsewhere(endpoint, request)
            return Asked(request, endpoint, self._call(endpoint, request, request.body), self)
        except Exception as error:
            return self.failed(request, error)

    def encoded(self, asked: Asked, arrays: Sequence[Array]) -> Answer | Future[Answer]:
        asked.endpoint.note(asked.call, arrays)
        if sum([array.size for array in arrays]) <= _INLINE_VALUES:
            return _answer(asked, arrays)
        writing = asyncio.get_running_loop().run_in_executor(self._writer, _answer, asked, arrays)
        return chained(writing, lambda done: self._finished(asked.request, done.result))

    def later(self, asked: Asked, arrays: Future[Sequence[Array]]) -> Future[Answer]:
        return chained(
            arrays, lambda done: self._finished(asked.request, lambda: self.encoded(asked, done.result()))
        )

    def failed(self, request: Request, error: BaseException) -> Answer:
        """A refusal in its own words; anything else is ours."""
        headers: Headers = request.context.json_headers
        if isinstance(error, Refusal):
            return Answer(error.status, (*headers, *error.headers), error_body(str(error)))
        _log.error("%s failed", request.path, exc_info=error)
        return Answer(500, headers, error_body(INTERNAL))

    def _call(self, endpoint: Endpoint, request: Request, body: bytes) -> RestCall:
        call = decode(body, request.headers.get(HEADER), endpoint.check, self._tensors)
        request.call_id = call.id
        if call.parameters:
            call.deadline = _deadline(call.parameters, request.begin)
            endpoint.check_parameters(call)
        return call

    def _elsewhere(self, endpoint: Endpoint, request: Request) -> Future[Answer]:
        loop = asyncio.get_running_loop()
        until = perf_counter() + endpoint.deadline_seconds

        def expect(deadline: float | None) -> None:
            """Called in the thread, once the call has been decoded."""
            if deadline is not None:
                loop.call_soon_threadsafe(self._expire_at, answer, request, deadline)

        work: Future[_Whole | Asked] = endpoint.lane.work(lambda: self._whole(endpoint, request, expect))
        answer = chained(
            work, lambda done: self._finished(request, lambda: self._taken(done.result(), until))
        )
        return answer

    def _whole(
        self, endpoint: Endpoint, request: Request, expect: Callable[[float | None], None]
    ) -> "_Whole | Asked":
        """Everything about one request, in a thread; what is to be explained is only decoded there."""
        coding = request.headers.get("content-encoding", "")
        call = self._call(endpoint, request, decompress(coding, request.body, self._body_bytes))
        expect(call.deadline)
        asked = Asked(request, endpoint, call, self)
        if asks(call.parameters):
            return asked
        arrays = endpoint.run_now(call)
        return _Whole(_answer(asked, arrays), asked, arrays)

    def _taken(self, made: "_Whole | Asked", until: float) -> Answer | Future[Answer]:
        """In the thread of the event loop; what was decoded for long has less time to be explained."""
        if isinstance(made, Asked):
            made.call.deadline = min(until, made.call.deadline or until)
            made.run()
            return made.answer()
        made.asked.endpoint.note(made.asked.call, made.arrays)
        return made.answer

    def _expire_at(self, answer: Future[Answer], request: Request, deadline: float) -> None:
        def expire() -> None:
            if not answer.done():
                answer.set_result(self.failed(request, late()))

        answer.get_loop().call_later(max(0.0, deadline - perf_counter()), expire)

    def _finished(
        self, request: Request, made: Callable[[], Answer | Future[Answer]]
    ) -> Answer | Future[Answer]:
        try:
            return made()
        except asyncio.CancelledError:
            return self.failed(request, given_up())
        except Exception as error:
            return self.failed(request, error)


class _Whole(NamedTuple):
    """What a thread made of a large request."""

    answer: Answer
    asked: Asked
    arrays: Sequence[Array]


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
