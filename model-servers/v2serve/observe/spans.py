"""Spans of answered requests, made afterwards and sent as OTLP over HTTP by a thread of OpenTelemetry's SDK.

Attributes are the semantic conventions of HTTP and RPC servers, 1.x; those of the release are `v2serve.model.*`.
"""

from collections.abc import Iterator, Mapping, Sequence
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
from v2serve.observe.metrics import GRPC, LEFT
from v2serve.observe.traces import Parent, Sampling
from v2serve.wire.exchange import Request

_SPANS = Family("v2serve_spans", "counter", "Spans, by what became of them")
_MODELS = "/v2/models/{model_name}/infer"
_VERSIONS = "/v2/models/{model_name}/versions/{model_version}/infer"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"))
_LONGEST_TRACESTATE = 512  # the specification asks for this much; longer ones are not passed on
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

    def finish(
        self,
        trace: int,
        parent: Parent | None,
        state: str | None,
        request: Request,
        status: int,
        protocol: str,
        tags: Mapping[str, str],
        begin: int,
        end: int,
    ) -> None:
        """One span from `begin` to `end`, nanoseconds since 1970; `trace` comes from the sampling."""
        self._made += 1
        self._ids.trace = trace
        context = None if parent is None else set_span_in_context(NonRecordingSpan(_remote(parent, state)))
        name, attributes = described(request, status, protocol, tags)
        span = self._tracer.start_span(name, context, SpanKind.SERVER, attributes, start_time=begin)
        if "error.type" in attributes:
            span.set_status(_ERROR)
        span.end(end)

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


def described(
    request: Request, status: int, protocol: str, tags: Mapping[str, str]
) -> tuple[str, Attributes]:
    """The name and the attributes of a span; 499: the caller left before the answer."""
    method = request.method if request.method in _METHODS else "_OTHER"
    path = request.path.encode(errors="replace").decode()  # no text: it would cost the whole batch
    route = path[1:] if protocol == GRPC else _VERSIONS if "/versions/" in path else _MODELS
    attributes: Attributes = {
        **tags,
        "http.request.method": method,
        "url.path": path,
        "url.scheme": "http",
        "network.protocol.version": request.http,
        "v2serve.protocol": protocol,
        "http.response.status_code": status,
    }
    if protocol == GRPC:
        attributes |= {"rpc.system": "grpc", "http.response.status_code": 200}
    else:
        attributes["http.route"] = route
    if status >= LEFT:
        attributes["error.type"] = "client_disconnected" if status == LEFT else str(status)
    return (route if protocol == GRPC else f"{method} {route}"), attributes


def _remote(parent: Parent, state: str | None) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(parent.trace, 16), int(parent.span, 16), True, flags, _state(state))


def _state(text: str | None) -> TraceState:
    if text is None or len(text) > _LONGEST_TRACESTATE:
        return TraceState()
    return TraceState.from_header([text])


def _resource() -> Resource:
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return resource.merge(Resource({SERVICE_NAME: "v2serve"}))
    return resource
