"""An inference between the steps of a turn: decoded, run, encoded, each for all requests of the turn."""

from asyncio import Future
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from v2serve.call import Call
from v2serve.lanes import Result
from v2serve.protocol import Refusal
from v2serve.tensors import Array
from v2serve.wire.exchange import Answer, Request

if TYPE_CHECKING:
    from v2serve.endpoint import Endpoint

T = TypeVar("T")


class Codec(Protocol):
    """What a protocol makes of the end of an inference."""

    def encoded(self, asked: "Asked", arrays: Sequence[Array]) -> Answer | Future[Answer]: ...
    def later(self, asked: "Asked", arrays: Future[Sequence[Array]]) -> Future[Answer]: ...
    def failed(self, request: Request, error: BaseException) -> Answer: ...


class Asked:
    """A request whose call is known; `result` is there once it has run."""

    __slots__ = ("call", "codec", "endpoint", "request", "result")

    def __init__(self, request: Request, endpoint: "Endpoint", call: Call, codec: Codec) -> None:
        self.request = request
        self.endpoint = endpoint
        self.call = call
        self.codec = codec
        self.result: Result | Exception = ()

    def run(self) -> None:
        try:
            self.result = self.endpoint.infer(self.call)
        except Exception as error:
            self.result = error

    def answer(self) -> Answer | Future[Answer]:
        result = self.result
        try:
            if isinstance(result, Future):
                return self.codec.later(self, result)
            if isinstance(result, Exception):
                return self.codec.failed(self.request, result)
            return self.codec.encoded(self, result)
        except Exception as error:
            return self.codec.failed(self.request, error)


def given_up() -> Refusal:
    return Refusal(503, "the server gave this request up; ask again", (("retry-after", "1"),))


def chained(source: Future[T], finish: Callable[[Future[T]], Answer | Future[Answer]]) -> Future[Answer]:
    """What `finish` makes of the source once it is done; who cancels it gives up the source too."""
    answer: Future[Answer] = source.get_loop().create_future()

    def settle(done: Future[T]) -> None:
        if answer.done():
            if not done.cancelled():
                done.exception()  # was for somebody who has left
        else:
            _hand_over(finish(done), answer)

    source.add_done_callback(settle)
    answer.add_done_callback(lambda done: source.cancel() if done.cancelled() else None)
    return answer


def _hand_over(made: Answer | Future[Answer], answer: Future[Answer]) -> None:
    if isinstance(made, Future):
        answer.add_done_callback(lambda done: made.cancel() if done.cancelled() else None)
        made.add_done_callback(lambda done: None if answer.done() else answer.set_result(done.result()))
    else:
        answer.set_result(made)
