"""What a caller is told when the server itself is at fault, and how slow models are kept off the event loop."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from v2serve.body import Bodies
from v2serve.contract import Contract
from v2serve.metadata import Identity
from v2serve.metrics import Metrics
from v2serve.protocol import Refusal
from v2serve.rest import App

IDENTITY = Identity("iris", "4", "sha256:" + "0" * 64, None, Contract("iris", "onnxruntime_onnx", (), ()))


class FakeScope:
    method = "POST"
    path = "/v2/models/iris/infer"
    headers = {"content-length": "2"}  # noqa: RUF012 -- read only


class FakeExchange:
    """An RSGI exchange that remembers the answer."""

    status = 0
    body = b""

    async def __call__(self) -> bytes:
        return b"{}"

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.body = status, body


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def _app(
    infer: Callable[[bytes], bytes], executor: ThreadPoolExecutor, inline_bytes: int = 1024
) -> tuple[App, Metrics]:
    metrics = Metrics("iris", "4", IDENTITY.digest, None)
    return App(IDENTITY, infer, metrics, Bodies(1024, 1.0), executor, inline_bytes), metrics


async def _ask(app: App) -> FakeExchange:
    exchange = FakeExchange()
    await app.__rsgi__(FakeScope(), exchange)  # type: ignore[arg-type]
    return exchange


async def test_a_defect_is_500_without_its_words_and_is_logged(
    caplog: pytest.LogCaptureFixture, executor: ThreadPoolExecutor
) -> None:
    def broken(_: bytes) -> bytes:
        raise KeyError("a secret of the inside")

    app, metrics = _app(broken, executor)
    with caplog.at_level(logging.ERROR, logger="v2serve"):
        exchange = await _ask(app)
    assert exchange.status == 500
    assert json.loads(exchange.body) == {"error": "internal error; the server's log says more"}
    assert "a secret of the inside" in caplog.text
    assert metrics.in_flight == 0


async def test_a_slow_model_and_a_large_body_answer_from_a_thread_of_its_own(
    executor: ThreadPoolExecutor,
) -> None:
    app, _ = _app(lambda _: threading.current_thread().name.encode(), executor, 0)
    assert (await _ask(app)).body != threading.main_thread().name.encode()
    app, _ = _app(lambda _: threading.current_thread().name.encode(), executor)
    assert (await _ask(app)).body == threading.current_thread().name.encode()


async def test_a_refusal_in_the_thread_is_still_the_callers(executor: ThreadPoolExecutor) -> None:
    def refusing(_: bytes) -> bytes:
        raise Refusal(400, "input 'x': missing")

    app, _ = _app(refusing, executor, 0)
    exchange = await _ask(app)
    assert (exchange.status, json.loads(exchange.body)) == (400, {"error": "input 'x': missing"})
