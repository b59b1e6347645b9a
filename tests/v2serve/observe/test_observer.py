"""The one call of the application: what is counted, logged and traced of an answered request."""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from tests.v2serve.observe.test_drift import OUTPUTS, TRAINED, WIDE, document
from tests.v2serve.observe.test_metrics import OWN, RELEASE, Lane, Wire, both_formats, value
from v2serve.observe import Observer, Watched
from v2serve.observe.access_log import AccessLog
from v2serve.observe.outcome import grpc_code, grpc_status
from v2serve.wire.exchange import Answer, Request

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "reference.json").write_text(json.dumps(document()))
    return tmp_path


@pytest.fixture
def observer() -> Observer:
    return Observer({})


@pytest.fixture
def watched(observer: Observer, folder: Path) -> Watched:
    return observer.watch(RELEASE, WIDE, folder, Lane())


def asked(body: bytes = b"12345") -> Request:
    request = Request(
        "POST", "/v2/models/iris/infer", "", {"traceparent": TRACEPARENT}, time.perf_counter(), "2"
    )
    request.body = body
    return request


def scrape(observer: Observer, name: str, **own: str) -> float:
    return value(observer.render()[1], name, **own)


def test_an_inference_is_in_flight_until_it_is_answered(observer: Observer, watched: Watched) -> None:
    observer.begin(watched)
    assert scrape(observer, "inference_requests_in_flight", **OWN) == 1
    observer.answered(asked(), Answer(200, (), b"123"), watched, "binary", "id")
    text = observer.render()[1]
    assert value(text, "inference_requests_in_flight", **OWN) == 0
    assert value(text, "inference_protocol_requests_total", **OWN, code="200", protocol="binary") == 1
    assert value(text, "inference_request_bytes_total", **OWN) == 5
    assert value(text, "inference_response_bytes_total", **OWN) == 3


@pytest.mark.parametrize(
    ("answer", "protocol", "code"),
    [
        (None, "rest", "499"),
        (None, "grpc", "499"),
        (Answer(503, ()), "rest", "503"),
        (Answer(200, (), b"", (("grpc-status", "0"), ("grpc-message", ""))), "grpc", "200"),
        (Answer(200, (), b"", (("grpc-status", "3"),)), "grpc", "400"),
        (Answer(200, (("content-type", "application/grpc"), ("grpc-status", "14"))), "grpc", "503"),
        (Answer(415, ()), "grpc", "415"),
    ],
)
def test_an_answer_is_counted_by_what_became_of_the_call(
    observer: Observer, watched: Watched, answer: Answer | None, protocol: str, code: str
) -> None:
    observer.begin(watched)
    observer.answered(asked(), answer, watched, protocol, None)
    assert scrape(observer, "inference_requests_total", **OWN, code=code) == 1
    assert watched.metrics.in_flight == 0


@pytest.mark.parametrize(
    ("text", "status"), [("4", 504), ("8", 429), ("16", 401), ("17", 500), ("x", 500), ("", 500)]
)
def test_a_code_of_grpc_stands_for_a_status(text: str, status: int) -> None:
    assert grpc_status(Answer(200, (), b"", (("grpc-status", text),))) == status
    assert grpc_code(Answer(200, ())) is None


def test_what_is_no_inference_is_counted_by_status_alone(observer: Observer) -> None:
    for status in (200, 200, 404):
        observer.answered(asked(), Answer(status, ()), None, "rest", None)
    assert scrape(observer, "v2serve_other_requests_total", code="200") == 2
    assert scrape(observer, "v2serve_other_requests_total", code="404") == 1


def test_a_draining_server_says_that_no_model_is_ready(observer: Observer, watched: Watched) -> None:
    assert scrape(observer, "model_ready", **OWN) == 1
    observer.drain()
    assert scrape(observer, "model_ready", **OWN) == 0


def test_a_release_that_is_forgotten_is_told_no_more(observer: Observer, watched: Watched) -> None:
    assert b"inference_input_bin_total" in observer.render()[1]
    observer.forget(watched)
    text = observer.render()[1]
    assert b"model_info" not in text
    assert b"inference_input" not in text


@both_formats
def test_everything_together_is_what_the_parsers_take(parse: object, wanted: bool, folder: Path) -> None:
    observer = Observer({}, 0.5, Wire())
    for name in ("iris", "wine"):
        watched = observer.watch(RELEASE._replace(model=name), WIDE, folder, Lane())
        assert watched.drift is not None
        watched.drift.note({"features": TRAINED[:9]}, OUTPUTS, [np.array(["setosa"] * 9), TRAINED])
    observer.close()
    kind, text = observer.render("application/openmetrics-text" if wanted else "")
    assert kind.startswith("application/openmetrics-text" if wanted else "text/plain")
    families = list((open_metrics if wanted else prometheus)(text.decode()))
    assert all(family.type != "unknown" and family.documentation for family in families)
    names = {family.name for family in families}
    assert len(families) == len(names) > 30
    assert {"v2serve_connections", "inference_batch_size", "inference_input_stability_index"} <= names


async def test_the_timer_folds_what_was_noted(observer: Observer, watched: Watched) -> None:
    assert watched.drift is not None
    observer.start(asyncio.get_running_loop())
    for _ in range(5000):  # three bites
        watched.drift.note({"features": TRAINED[:1]}, [], [])
    own = {**OWN, "feature": "width"}
    deadline = time.monotonic() + 10
    while scrape(observer, "inference_input_values_total", **own) < 5000:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    observer.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[tuple[Observer, Path]]:
    observer = Observer({}, 1.0)
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    observer._log = AccessLog(1.0, descriptor)
    yield observer, path
    os.close(descriptor)


def test_the_log_tells_who_was_asked_what_and_the_callers_trace(
    log: tuple[Observer, Path], folder: Path
) -> None:
    observer, path = log
    watched = observer.watch(RELEASE, WIDE, folder)
    observer.begin(watched)
    observer.answered(asked(), Answer(200, (), b"123"), watched, "rest", "mine")
    observer.answered(asked(b""), None, None, "rest", None)
    observer.close()
    inference, other = [json.loads(line) for line in path.read_text().splitlines()]
    expected = {
        "method": "POST", "path": "/v2/models/iris/infer", "status": 200, "model": "iris", "version": "4",
        "digest": RELEASE.digest, "request_id": "mine", "bytes_in": 5, "bytes_out": 3, "http": "2",
        "protocol": "rest", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    }  # fmt: skip
    assert {name: inference[name] for name in expected} == expected
    assert 0 <= inference["duration_ms"] < 60_000
    assert (other["model"], other["status"], other["bytes_in"]) == (None, 499, 0)


def test_a_request_costs_a_few_microseconds_with_log_and_traces_off(
    observer: Observer, watched: Watched
) -> None:
    request, answer = asked(), Answer(200, (), b"123")

    def seconds(many: int = 20_000) -> float:
        begin = time.perf_counter()
        for _ in range(many):
            observer.begin(watched)
            observer.answered(request, answer, watched, "rest", None)
        return (time.perf_counter() - begin) / many

    assert min(seconds() for _ in range(5)) < 10e-6  # 0.6 measured; a busy machine takes its share
