"""The counts of a release and their text, against the parsers of Prometheus and OpenMetrics."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from v2serve.observe.exposition import (
    OPEN_METRICS,
    TEXT,
    Exposition,
    Family,
    Sample,
    labels,
    render,
    takes_open_metrics,
)
from v2serve.observe.metrics import BUCKETS, ModelMetrics, Release, WireMetrics
from v2serve.observe.process import Process

RELEASE = Release("iris", "4", "sha256:" + "a" * 64, "run1")
OWN = {"model": "iris", "version": "4"}
Parser = Callable[[str], Iterable[Metric]]
both_formats = pytest.mark.parametrize(("parse", "wanted"), [(prometheus, False), (open_metrics, True)])


class Lane:
    queued, running, refused, expired = 3, 1, 5, 2
    batches = {1: 10, 3: 2, 300: 1}  # noqa: RUF012


class Wire:
    connections, held_bytes = 7, 4096


def values(text: bytes, parse: Parser = prometheus) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    samples = [sample for family in parse(text.decode()) for sample in family.samples]
    found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(found) == len(samples), "a sample is told twice"
    return found


def value(text: bytes, name: str, **own: str) -> float:
    return values(text)[name, frozenset(own.items())]


@both_formats
def test_a_request_is_counted_under_its_protocol_and_status(parse: Parser, wanted: bool) -> None:
    metrics = ModelMetrics(RELEASE)
    for protocol, code in (("rest", 200), ("binary", 200), ("grpc", 503), ("grpc", 503)):
        metrics.observe(protocol, code, 0.0004, 10, 20)
    found = values(render(metrics.samples(), wanted), parse)
    by_status = {
        dict(own)["code"]: count for (name, own), count in found.items() if name == "inference_requests_total"
    }
    assert by_status == {"200": 2, "503": 2}
    key = frozenset({**OWN, "code": "503", "protocol": "grpc"}.items())
    assert found["inference_protocol_requests_total", key] == 2
    own = frozenset(OWN.items())
    assert found["inference_request_bytes_total", own] == 40
    assert found["inference_response_bytes_total", own] == 80
    assert found["inference_request_duration_seconds_sum", own] == pytest.approx(0.0016)
    assert found["inference_request_duration_seconds_bucket", own | {("le", "0.0005")}] == 4
    assert found["inference_request_duration_seconds_bucket", own | {("le", "0.00025")}] == 0
    assert found["inference_request_duration_seconds_bucket", own | {("le", "+Inf")}] == 4


@given(st.lists(st.floats(0, 20), max_size=60))
def test_the_buckets_are_those_of_numpy(seconds: list[float]) -> None:
    metrics = ModelMetrics(RELEASE)
    for each in seconds:
        metrics.observe("rest", 200, each, 0, 0)
    text = render(metrics.samples())
    for limit in BUCKETS:
        bucket = value(text, "inference_request_duration_seconds_bucket", **OWN, le=str(limit))
        assert bucket == np.count_nonzero(np.array(seconds) <= limit)
    assert value(text, "inference_request_duration_seconds_count", **OWN) == len(seconds)


def test_the_names_and_the_text_of_the_first_server_stay() -> None:
    text = render(ModelMetrics(RELEASE).samples()).decode()
    assert 'inference_requests_total{code="200",model="iris",version="4"} 0.0\n' in text
    assert 'model_ready{model="iris",version="4"} 1.0\n' in text
    identity = f'digest="{RELEASE.digest}",model="iris",run="run1",version="4"'
    assert f"# TYPE model_info gauge\nmodel_info{{{identity}}} 1.0\n" in text
    assert 'inference_request_duration_seconds_bucket{le="0.0001",model="iris",version="4"} 0.0\n' in text


@both_formats
def test_models_share_the_head_of_a_family(parse: Parser, wanted: bool) -> None:
    releases = [RELEASE, RELEASE._replace(model="wine", version=None, run=None)]
    text = render((s for release in releases for s in ModelMetrics(release, Lane()).samples()), wanted)
    families = list(parse(text.decode()))
    assert len({family.name for family in families}) == len(families) == text.count(b"# TYPE ")
    ready = next(family for family in families if family.name == "model_ready")
    assert [sample.labels["model"] for sample in ready.samples] == ["iris", "wine"]


def test_a_lane_tells_its_queue_its_refusals_and_its_batches() -> None:
    text = render(ModelMetrics(RELEASE, Lane()).samples())
    assert value(text, "inference_queue_length", **OWN) == 3
    assert value(text, "inference_running", **OWN) == 1
    assert value(text, "inference_queue_refused_total", **OWN) == 5
    assert value(text, "inference_queue_expired_total", **OWN) == 2
    assert value(text, "inference_batch_size_bucket", **OWN, le="1.0") == 10
    assert value(text, "inference_batch_size_bucket", **OWN, le="4.0") == 12
    assert value(text, "inference_batch_size_bucket", **OWN, le="256.0") == 12
    assert value(text, "inference_batch_size_count", **OWN) == 13
    assert value(text, "inference_batch_size_sum", **OWN) == 10 + 6 + 300


def test_the_wire_tells_its_connections_and_the_bytes_that_it_holds() -> None:
    text = render(WireMetrics(Wire()).samples())
    assert value(text, "v2serve_connections") == 7
    assert value(text, "v2serve_held_bytes") == 4096


def test_the_process_tells_its_memory_and_descriptors() -> None:
    text = render(Process().samples())
    assert (
        1 << 20 < value(text, "process_resident_memory_bytes") < value(text, "process_virtual_memory_bytes")
    )
    assert value(text, "process_cpu_seconds_total") > 0
    assert 3 <= value(text, "process_open_fds") <= value(text, "process_max_fds")
    assert time.time() - 7200 < value(text, "process_start_time_seconds") <= time.time() + 1


def test_without_proc_nothing_is_told_of_the_process(tmp_path: Path) -> None:
    assert list(Process(tmp_path).samples()) == []


@given(st.text())
def test_any_text_of_a_label_comes_back_from_the_parser(text: str) -> None:
    sample = Sample(Family("m", "gauge", "h"), labels([("a", text)]), 1)
    try:
        text.encode()
    except UnicodeEncodeError:
        return  # lone surrogates are no text for any wire
    assert values(render([sample])) == {("m", frozenset({("a", text)})): 1}


class Counting:
    def __init__(self) -> None:
        self.asked = 0

    def samples(self) -> Iterable[Sample]:
        self.asked += 1
        yield Sample(Family("asked", "counter", "h"), "", self.asked)


def test_a_storm_of_scrapes_is_answered_from_a_text_that_is_written_every_100_ms() -> None:
    source = Counting()
    now = 1000.0
    exposition = Exposition([source], lambda: now)
    for step in range(1000):  # one second
        now = 1000 + step / 1000
        exposition.render()
    assert 10 <= source.asked <= 15
    assert value(exposition.render()[1], "asked_total") == source.asked


def test_who_looks_calls_and_looks_again_sees_the_call() -> None:
    source = Counting()
    exposition = Exposition([source], lambda: 5.0)
    assert [value(exposition.render()[1], "asked_total") for _ in range(3)] == [1, 2, 3]


def test_a_storm_in_one_format_does_not_age_the_other() -> None:
    source = Counting()
    now = 0.0
    exposition = Exposition([source], lambda: now)
    exposition.render("application/openmetrics-text")
    for step in range(1000):
        now = step / 100
        exposition.render()
    asked = source.asked
    exposition.render("application/openmetrics-text")
    assert source.asked == asked + 1


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain;version=0.0.4;q=0.5", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3", OPEN_METRICS),
    ],
)
def test_the_format_is_the_one_that_the_scraper_accepts(accept: str, expected: str) -> None:
    assert Exposition([ModelMetrics(RELEASE)]).render(accept)[0] == expected
    assert takes_open_metrics(accept) is (expected == OPEN_METRICS)


def test_a_source_that_is_removed_is_told_no_more() -> None:
    source = Counting()
    exposition = Exposition([source], lambda: 5.0)
    exposition.add(other := ModelMetrics(RELEASE))
    assert b"model_ready" in exposition.render()[1]
    exposition.remove(other)
    assert b"model_ready" not in exposition.render()[1]
