"""Spans of answered requests, made afterwards and sent as OTLP over HTTP by a thread of OpenTelemetry's SDK.

Attributes are the semantic conventions of HTTP and RPC servers, 1.x; those of the release are `v2serve.model.*`.
"""

import time
from collections.abc import Iterator, Sequence
from threading import Thread

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from v2serve.observe.exposition import Family, Sample
from v2serve.observe.metrics import GRPC, LEFT, Release
from v2serve.observe.outcome import Outcome, grpc_code
from v2serve.observe.traces import Parent, Sampling, read_parent, read_state
from v2serve.wire.exchange import Answer

_SPANS = Family("v2serve_spans", "counter", "Spans, by what became of them")
_MODELS = "/v2/models/{model_name}/infer"
_VERSIONS = "/v2/models/{model_name}/versions/{model_version}/infer"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"))
_NAMES = {"model": "name"}
_ERROR = Status(StatusCode.ERROR)

Attributes = dict[str, str | int]


class _Drawn(IdGenerator):
    """The trace id that the sampling has drawn, so that its share is one of the ids that are seen."""

    def __init__(self) -> None:
        self.trace = 0
        self._random = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self._random.generate_span_id()


class _Counted(SpanExporter):
    """An exporter whose results are counted; a thread of the SDK calls it."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.exported = 0
        self.failed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.exported += len(spans)
        else:
            self.failed += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class Spans:
    """The way from an answered request to the collector; what the collector does not take is dropped."""

    def __init__(self, sampling: Sampling, exporter: SpanExporter | None = None) -> None:
        """The exporter of OTLP reads its endpoint, headers and time-out from the environment."""
        self.sampling = sampling
        self._made = 0
        self._counted = _Counted(exporter or OTLPSpanExporter())
        self._ids = _Drawn()
        self._processor = BatchSpanProcessor(self._counted)
        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=_resource(), id_generator=self._ids, shutdown_on_exit=False
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("v2serve")

    def note(self, outcome: Outcome) -> int:
        """The trace of a request that was answered just now; 0: it is not recorded."""
        headers = outcome.request.headers
        text = headers.get("traceparent")
        parent = None if text is None else read_parent(text)
        trace = self.sampling.trace_id(parent)
        if trace:
            self._ids.trace = trace
            self._record(outcome, parent and _remote(parent, headers.get("tracestate")))
        return trace

    def _record(self, outcome: Outcome, parent: SpanContext | None) -> None:
        end = time.time_ns()
        begin = end - int(outcome.seconds * 1e9)
        context = None if parent is None else set_span_in_context(NonRecordingSpan(parent))
        name, attributes = described(outcome)
        span = self._tracer.start_span(name, context, SpanKind.SERVER, attributes, start_time=begin)
        if "error.type" in attributes:
            span.set_status(_ERROR)
        span.end(end)
        self._made += 1

    def samples(self) -> Iterator[Sample]:
        counted = self._counted
        told = ("made", self._made), ("exported", counted.exported), ("failed", counted.failed)
        for result, count in told:
            yield Sample(_SPANS, f'result="{result}"', count)

    def close(self, seconds: float = 1.0) -> None:
        """Send what is left, for at most so long; blocks."""
        closing = Thread(target=self._processor.shutdown, name="spans", daemon=True)
        closing.start()
        closing.join(seconds)


def described(outcome: Outcome) -> tuple[str, Attributes]:
    """The name and the attributes of a span."""
    request, status = outcome.request, outcome.status
    method = request.method if request.method in _METHODS else "_OTHER"
    path = request.path.encode(errors="replace").decode()  # one that is no text would cost the whole batch
    attributes: Attributes = {
        "http.request.method": method,
        "url.path": path,
        "url.scheme": "http",
        "network.protocol.version": request.http,
        "v2serve.protocol": outcome.protocol,
        **_release_attributes(outcome.release),
    }
    if status >= LEFT:
        attributes["error.type"] = "client_disconnected" if status == LEFT else str(status)
    if outcome.protocol == GRPC:
        return path[1:], attributes | _grpc_attributes(path, outcome.answer)
    if status != LEFT:
        attributes["http.response.status_code"] = status
    attributes["http.route"] = route = _VERSIONS if "/versions/" in path else _MODELS
    return f"{method} {route}", attributes


def _release_attributes(release: Release | None) -> Attributes:
    told = {} if release is None else release._asdict()
    return {f"v2serve.model.{_NAMES.get(key, key)}": value for key, value in told.items() if value}


def _grpc_attributes(path: str, answer: Answer | None) -> Attributes:
    service, _, method = path[1:].partition("/")
    told: Attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
    if answer is not None and (code := grpc_code(answer)) is not None:
        told |= {"rpc.grpc.status_code": code, "http.response.status_code": answer.status}
    return told


def _remote(parent: Parent, state: str | None) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    members = TraceState(read_state(state))  # read by us, for the SDK's reader logs what callers send
    return SpanContext(int(parent.trace, 16), int(parent.span, 16), True, flags, members)


def _resource() -> Resource:
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return resource.merge(Resource({SERVICE_NAME: "v2serve"}))
    return resource
