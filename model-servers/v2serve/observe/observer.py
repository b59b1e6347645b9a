"""All that is told of an answered request, in one call: counts always, a span and a log line where they are on."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from v2serve.contract import Contract
from v2serve.observe.access_log import AccessLog, Entry
from v2serve.observe.drift import DriftStatistics
from v2serve.observe.exposition import Exposition, Family, Sample
from v2serve.observe.metrics import GRPC, LEFT, LaneCounts, ModelMetrics, Release, WireCounts, WireMetrics
from v2serve.observe.outcome import Outcome, grpc_status
from v2serve.observe.process import Process
from v2serve.observe.reference import load_reference
from v2serve.observe.traces import open_traces, read_parent
from v2serve.wire.exchange import Answer, Request

_FOLD_SECONDS = 0.2
_BREATH_SECONDS = 0.005  # between two bites: requests are answered meanwhile
_OTHERS = Family("v2serve_other_requests", "counter", "Answers that are no inference, by HTTP status")


class Watched:
    """One release as the observer sees it; the application keeps it beside the release."""

    __slots__ = ("drift", "metrics", "release")

    def __init__(self, release: Release, metrics: ModelMetrics, drift: DriftStatistics | None) -> None:
        self.release = release
        self.metrics = metrics
        self.drift = drift


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
                status = grpc_status(answer)
            metrics = watched.metrics
            metrics.in_flight -= 1
            metrics.observe(protocol, status, seconds, len(request.body), size)
        if self._tells:
            release = None if watched is None else watched.release
            self._tell(Outcome(request, answer, status, size, seconds, release, protocol, call_id))

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
        while self.fold():
            pass
        for last in (self._log, self._spans):
            if last is not None:
                last.close()

    def fold(self) -> bool:
        """One bite of work; whether more is left."""
        if self._log is not None:
            self._log.flush()
        left = [watched.drift.fold() for watched in self._watched if watched.drift is not None]
        return any(left)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self.start(loop)  # first: the next fold comes whatever becomes of this one
        if self.fold() and self._timer is not None:
            self._timer.cancel()
            self._timer = loop.call_later(_BREATH_SECONDS, self._tick, loop)

    def _tell(self, outcome: Outcome) -> None:
        inference = outcome.release is not None
        trace = self._spans.note(outcome) if self._spans is not None and inference else 0
        if self._log is not None and self._log.chosen(outcome.status):
            shown = f"{trace:032x}" if trace else _callers_trace(outcome.request)
            self._log.note(_entry(outcome, shown))


def _callers_trace(request: Request) -> str | None:
    parent = read_parent(request.headers.get("traceparent"))
    return parent and parent.trace


def _entry(outcome: Outcome, trace: str | None) -> Entry:
    request, _, status, size, seconds, release, protocol, call_id = outcome
    model, version, digest, _ = release or (None, None, None, None)
    return Entry(
        time.time(), request.method, request.path, status, model, version, digest, call_id,
        seconds * 1000, len(request.body), size, request.http, protocol, trace,
    )  # fmt: skip
