"""Traces: W3C context in, OTLP out to a collector of ours, and nothing at all where they are off."""

import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.v2serve.observe.test_drift import WIDE
from tests.v2serve.observe.test_metrics import RELEASE, value
from v2serve.observe import Observer
from v2serve.observe.traces import Parent, Sampling, read_parent, read_sampling, read_state, wanted
from v2serve.wire.exchange import Answer, Request

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
OK = Answer(200, (), b"{}")


class Collector(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.requests: list[ExportTraceServiceRequest] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> list[Any]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class Receiver(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def environ(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}


def asked(path: str = "/v2/models/iris/infer", **headers: str) -> Request:
    return Request("POST", path, "", headers, time.perf_counter() - 0.25, "1.1")


def attributes(span: Any) -> dict[str, str | int]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def answered(
    environ: dict[str, str], folder: Path, *requests: tuple[Request, Answer | None, str]
) -> Observer:
    """An observer that has told of these, and is closed."""
    observer = Observer(environ)
    watched = observer.watch(RELEASE, WIDE, folder)
    for request, answer, protocol in requests:
        observer.begin(watched)
        observer.answered(request, answer, watched, protocol, None)
    observer.close()
    return observer


def test_a_span_says_what_was_asked_and_answered(
    collector: Collector, environ: dict[str, str], tmp_path: Path
) -> None:
    observer = answered(environ, tmp_path, (asked(traceparent=PARENT, tracestate="a=b,c=d"), OK, "rest"))
    (span,) = collector.spans()
    assert span.name == "POST /v2/models/{model_name}/infer"
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN)
    assert span.trace_state == "a=b,c=d"
    assert span.kind == span.SPAN_KIND_SERVER
    assert span.status.code == span.status.STATUS_CODE_UNSET
    assert 0.25e9 <= span.end_time_unix_nano - span.start_time_unix_nano < 5e9
    assert abs(span.end_time_unix_nano / 1e9 - time.time()) < 60
    assert attributes(span) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/v2/models/{model_name}/infer",
        "network.protocol.version": "1.1",
        "url.path": "/v2/models/iris/infer",
        "url.scheme": "http",
        "v2serve.protocol": "rest",
        "v2serve.model.name": "iris",
        "v2serve.model.version": "4",
        "v2serve.model.digest": RELEASE.digest,
        "v2serve.model.run": "run1",
    }
    text = observer.render()[1]
    assert value(text, "v2serve_spans_total", result="exported") == 1
    assert value(text, "v2serve_spans_total", result="failed") == 0


@pytest.mark.parametrize(
    ("answer", "protocol", "error", "code"),
    [
        (Answer(400, ()), "rest", None, 400),
        (Answer(503, ()), "binary", "503", 503),
        (None, "rest", "client_disconnected", None),
        (Answer(200, (), b"", (("grpc-status", "13"),)), "grpc", "500", 200),
        (Answer(200, (("grpc-status", "3"),)), "grpc", None, 200),
    ],
)
def test_a_failure_of_the_server_is_an_error_of_the_span(
    collector: Collector,
    environ: dict[str, str],
    tmp_path: Path,
    answer: Answer | None,
    protocol: str,
    error: str | None,
    code: int | None,
) -> None:
    answered(environ, tmp_path, (asked(), answer, protocol))
    (span,) = collector.spans()
    assert attributes(span).get("error.type") == error
    assert attributes(span).get("http.response.status_code") == code
    assert (span.status.code == span.status.STATUS_CODE_ERROR) == (error is not None)


def test_a_grpc_span_is_named_by_its_method(
    collector: Collector, environ: dict[str, str], tmp_path: Path
) -> None:
    request = asked("/inference.GRPCInferenceService/ModelInfer")
    answered(environ, tmp_path, (request, Answer(200, (), b"", (("grpc-status", "0"),)), "grpc"))
    (span,) = collector.spans()
    assert span.name == "inference.GRPCInferenceService/ModelInfer"
    told = attributes(span)
    assert (told["rpc.system"], told["rpc.grpc.status_code"]) == ("grpc", 0)
    assert (told["rpc.service"], told["rpc.method"]) == ("inference.GRPCInferenceService", "ModelInfer")


def test_hostile_text_does_not_cost_the_spans_beside_it(
    collector: Collector, environ: dict[str, str], tmp_path: Path
) -> None:
    hostile = asked("/v2/models/\udc80\x00/infer", traceparent=PARENT, tracestate="\x00=\udc80," * 40)
    answered(environ, tmp_path, (hostile, OK, "rest"), (asked(), OK, "rest"))
    assert [span.trace_state for span in collector.spans()] == ["", ""]


def test_the_caller_decides_whether_its_trace_is_recorded(
    collector: Collector, environ: dict[str, str], tmp_path: Path
) -> None:
    not_recorded = (asked(traceparent=f"00-{TRACE}-{SPAN}-00"), OK, "rest")
    answered(environ, tmp_path, not_recorded, (asked(traceparent=PARENT), OK, "rest"))
    assert [span.trace_id.hex() for span in collector.spans()] == [TRACE]


def test_a_malformed_parent_begins_a_trace_of_its_own(
    collector: Collector, environ: dict[str, str], tmp_path: Path
) -> None:
    answered(environ, tmp_path, (asked(traceparent=PARENT.upper(), tracestate="a=b"), OK, "rest"))
    (span,) = collector.spans()
    assert span.trace_id.hex() != TRACE
    assert (span.parent_span_id, span.trace_state) == (b"", "")


@pytest.mark.parametrize(
    ("name", "service"),
    [("OTEL_SERVICE_NAME", "scorer"), ("OTEL_RESOURCE_ATTRIBUTES", "scorer"), (None, "v2serve")],
)
def test_the_service_is_named_by_the_environment(
    collector: Collector,
    environ: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str | None,
    service: str,
) -> None:
    if name is not None:
        monkeypatch.setenv(name, service if name == "OTEL_SERVICE_NAME" else f"service.name={service}")
    answered(environ, tmp_path, (asked(), OK, "rest"))
    (resource,) = collector.requests[0].resource_spans
    assert attributes(resource.resource)["service.name"] == service


def test_a_collector_that_is_down_costs_spans_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    begin = time.perf_counter()
    told = [(asked(), OK, "rest")] * 3000
    observer = answered({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, tmp_path, *told)
    assert time.perf_counter() - begin < 8
    text = observer.render()[1]
    assert value(text, "v2serve_spans_total", result="made") == 3000
    assert value(text, "v2serve_spans_total", result="exported") == 0


def test_without_a_collector_nothing_of_opentelemetry_is_imported() -> None:
    script = (
        "import sys; from v2serve.observe import Observer; Observer({}).render();"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'prometheus_client'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "text",
    [
        "", "00", PARENT + "-more", PARENT[:-1], PARENT.upper(), f"ff-{TRACE}-{SPAN}-01", f"0-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{SPAN}-0g", f"{PARENT}, {PARENT}",
        f"00-{TRACE[:-1]}\u0661-{SPAN}-01", PARENT + "\n",
    ],
)  # fmt: skip
def test_a_traceparent_that_the_specification_ignores_is_ignored(text: str) -> None:
    assert read_parent(text) is None


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (PARENT, True),
        (f" {PARENT}\t", True),
        (f"00-{TRACE}-{SPAN}-02", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),
    ],
)
def test_a_traceparent_is_read(text: str, sampled: bool) -> None:
    assert read_parent(text) == Parent(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    ("text", "members"),
    [
        (None, []),
        ("a=b, c@d=e f ,,\t0-_*/=~", [("a", "b"), ("c@d", "e f"), ("0-_*/", "~")]),
        ("a=b,A=c", []),
        ("a=b,a=c", []),
        ("a=b=c", []),
        ("a=\x7f", []),
        ("a=", []),
        (",".join(f"k{number}=v" for number in range(33)), []),
        ("a=" + "b" * 511, []),
    ],
)
def test_a_tracestate_is_read_whole_or_not_at_all(text: str | None, members: list[tuple[str, str]]) -> None:
    assert read_state(text) == members


@given(st.text())
def test_no_traceparent_raises(text: str) -> None:
    assert read_parent(text) is None or text.strip(" \t")[2] == "-"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Sampling(1 << 64, True)),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, Sampling(1 << 64, False)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, Sampling(0, True)),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"},
            Sampling(1 << 62, False),
        ),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}, Sampling(1 << 64, True)),
    ],
)
def test_the_sampler_is_that_of_the_environment(variables: dict[str, str], expected: Sampling) -> None:
    assert read_sampling(variables) == expected


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        (
            {"OTEL_TRACES_SAMPLER": "some"},
            "OTEL_TRACES_SAMPLER: 'some' is not known; write one of always_on,",
        ),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"},
            "OTEL_TRACES_SAMPLER_ARG: '2' is not a share; write a number from 0 to 1",
        ),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "x"},
            "OTEL_TRACES_SAMPLER_ARG: 'x' is not a share; write a number from 0 to 1",
        ),
    ],
)
def test_an_unknown_sampler_is_said_and_all_is_recorded(
    caplog: pytest.LogCaptureFixture, variables: dict[str, str], reason: str
) -> None:
    assert read_sampling(variables).below == 1 << 64
    assert reason in caplog.text


def test_a_share_of_the_traces_is_drawn_and_known_by_its_id() -> None:
    sampling = Sampling(1 << 62, False)
    drawn = [trace for _ in range(8000) if (trace := sampling.trace_id(None))]
    assert 0.2 < len(drawn) / 8000 < 0.3
    assert all(sampling.trace_id(Parent(f"{trace:032x}", SPAN, False)) == trace for trace in drawn)


ENDPOINT = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "True"},
        {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_traces_are_off_unless_a_collector_is_named(variables: dict[str, str]) -> None:
    assert not wanted(variables)
    assert wanted(ENDPOINT)
