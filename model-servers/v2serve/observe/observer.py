"""All that is told of an answered request, in one call: counts always, a span and a log line where they are on."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from v2serve.contract import Contract
from v2serve.observe.access_log import AccessLog, Entry
from v2serve.observe.drift import DriftStatistics
from v2serve.observe.exposition import Exposition, Family, Sample
from v2serve.observe.metrics import GRPC, LEFT, LaneCounts, ModelMetrics, Release, WireCounts, WireMetrics
from v2serve.observe.process import Process
from v2serve.observe.reference import load_reference
from v2serve.observe.traces import open_traces, read_parent
from v2serve.wire.exchange import Answer, Request

if TYPE_CHECKING:
    from v2serve.observe.spans import Spans

_FOLD_SECONDS = 0.2
_NOBODY = Release("", None, "")
_OTHERS = Family("v2serve_other_requests", "counter", "Answers that are no inference, by HTTP status")

# google/rpc/code.proto says which HTTP status each code of gRPC stands for.
_GRPC_STATUS = {
    "0": 200, "1": LEFT, "2": 500, "3": 400, "4": 504, "5": 404, "6": 409, "7": 403, "8": 429,
    "9": 400, "10": 409, "11": 400, "12": 501, "13": 500, "14": 503, "15": 500, "16": 401,
}  # fmt: skip


class Watched:
    """One release as the observer sees it; the application keeps it beside the release."""

    __slots__ = ("drift", "metrics", "release", "tags")

    def __init__(self, release: Release, metrics: ModelMetrics, drift: DriftStatistics | None) -> None:
        self.release = release
        self.metrics = metrics
        self.drift = drift
        told = {"name": release.model, "version": release.version, "digest": release.digest}
        self.tags = {f"v2serve.model.{key}": value for key, value in told.items() if value}


class Observer:
    """Of one server; everything but the writing of logs and spans happens in the thread of the event loop."""

    def __init__(
        self, environ: Mapping[str, str], access_log: float = 0.0, wire: WireCounts | None = None
    ) -> None:
        """`environ` is where OpenTelemetry's variables are; `access_log` is the share of requests to log."""
        self._others: dict[int, int] = defaultdict(int)
        self._watched: list[Watched] = []
        self._log = AccessLog(access_log) if access_log > 0 else None
        self._spans = open_traces(environ)
        self._tells = self._log is not None or self._spans is not None
        self._exposition = Exposition([self, Process()])
        self._timer: asyncio.TimerHandle | None = None
        for source in (WireMetrics(wire) if wire else None, self._log, self._spans):
            if source is not None:
                self._exposition.add(source)

    def watch(
        self, release: Release, contract: Contract, folder: Path, lane: LaneCounts | None = None
    ) -> Watched:
        """Count this release from now on; drift is watched if its artifact in `folder` has a reference."""
        found = load_reference(folder, contract)
        drift = None if found is None else DriftStatistics(*found, release.labels())
        watched = Watched(release, ModelMetrics(release, lane), drift)
        self._watched.append(watched)
        self._exposition.add(watched.metrics)
        if drift is not None:
            self._exposition.add(drift)
        return watched

    def forget(self, watched: Watched) -> None:
        """The release is served no more."""
        self._watched.remove(watched)
        self._exposition.remove(watched.metrics)
        if watched.drift is not None:
            self._exposition.remove(watched.drift)

    def drain(self) -> None:
        """Say of every release that it is not ready."""
        for watched in self._watched:
            watched.metrics.ready = False

    def begin(self, watched: Watched) -> None:
        """An inference request was admitted; `answered` must follow, once."""
        watched.metrics.in_flight += 1

    def answered(
        self,
        request: Request,
        answer: Answer | None,
        watched: Watched | None,
        protocol: str,
        call_id: str | None,
    ) -> None:
        """After the answer was handed to the socket; `protocol` is rest, binary or grpc, of an inference."""
        seconds = time.perf_counter() - request.begin
        status, size = (LEFT, 0) if answer is None else (answer.status, len(answer.body))
        if watched is None:
            self._others[status] += 1
        else:
            if protocol == GRPC and answer is not None:
                status = _grpc_status(answer)
            metrics = watched.metrics
            metrics.in_flight -= 1
            metrics.observe(protocol, status, seconds, len(request.body), size)
        if self._tells:
            self._tell(request, status, size, seconds, watched, protocol, call_id)

    def render(self, accept: str = "") -> tuple[str, bytes]:
        """The content type and the text of /metrics."""
        return self._exposition.render(accept)

    def samples(self) -> Iterator[Sample]:
        for status, count in sorted(self._others.items()):
            yield Sample(_OTHERS, f'code="{status}"', count)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Fold and flush five times a second until `close`."""
        self._timer = loop.call_later(_FOLD_SECONDS, self._tick, loop)

    def close(self) -> None:
        """Write the log and send the spans that are left; blocks for at most a second each."""
        if self._timer is not None:
            self._timer.cancel()
        self.fold()
        for last in (self._log, self._spans):
            if last is not None:
                last.close()

    def fold(self) -> None:
        for watched in self._watched:
            if watched.drift is not None:
                watched.drift.fold()
        if self._log is not None:
            self._log.flush()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self.start(loop)  # first: the next fold comes whatever becomes of this one
        self.fold()

    def _tell(
        self,
        request: Request,
        status: int,
        size: int,
        seconds: float,
        watched: Watched | None,
        protocol: str,
        call_id: str | None,
    ) -> None:
        trace = 0
        if watched is not None and self._spans is not None:
            trace = _trace(self._spans, request, status, seconds, watched, protocol)
        log = self._log
        if log is not None and log.chosen(status):
            release = _NOBODY if watched is None else watched.release
            shown = f"{trace:032x}" if trace else _callers_trace(request)
            log.note(
                Entry(
                    time.time(), request.method, request.path, status,
                    release.model or None, release.version, release.digest or None, call_id,
                    seconds * 1000, len(request.body), size, request.http, protocol, shown,
                )
            )  # fmt: skip


def _trace(
    spans: "Spans", request: Request, status: int, seconds: float, watched: Watched, protocol: str
) -> int:
    """The trace id of the request's span; 0 if it is not recorded."""
    headers = request.headers
    text = headers.get("traceparent")
    parent = None if text is None else read_parent(text)
    trace = spans.sampling.trace_id(parent)
    if trace:
        end = time.time_ns()
        begin = end - int(seconds * 1e9)
        state = headers.get("tracestate")
        spans.finish(trace, parent, state, request, status, protocol, watched.tags, begin, end)
    return trace


def _callers_trace(request: Request) -> str | None:
    parent = read_parent(request.headers.get("traceparent"))
    return parent and parent.trace


def _grpc_status(answer: Answer) -> int:
    """The HTTP status that stands for the outcome of a gRPC call."""
    for name, value in answer.trailers or answer.headers:
        if name == "grpc-status":
            return _GRPC_STATUS.get(value, 500)
    return answer.status
