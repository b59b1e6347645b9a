"""What is counted of each release, its lane and the wire: plain integers while serving, text when scraped."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from typing import Protocol as Interface

from v2serve.observe.exposition import Family, Sample, histogram, labels

REST, BINARY, GRPC = PROTOCOLS = ("rest", "binary", "grpc")
LEFT = 499  # what nginx calls a caller who left before the answer
BUCKETS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
_LIMITS = tuple(map(str, BUCKETS))
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SIZE_LIMITS = tuple(str(float(size)) for size in _SIZES)

_REQUESTS = Family("inference_requests", "counter", "Inference requests answered, by HTTP status")
_BY_PROTOCOL = Family(
    "inference_protocol_requests", "counter", "Inference requests answered, by protocol and HTTP status"
)
_DURATION = Family(
    "inference_request_duration_seconds", "histogram", "From the request's headers to its answer"
)
_BYTES_IN = Family("inference_request_bytes", "counter", "Bytes of inference request bodies")
_BYTES_OUT = Family("inference_response_bytes", "counter", "Bytes of inference response bodies")
_IN_FLIGHT = Family("inference_requests_in_flight", "gauge", "Inference requests being received or answered")
_READY = Family("model_ready", "gauge", "1 while the server says it is ready, 0 while it drains")
_INFO = Family("model", "info", "The release that is served")
_QUEUED = Family("inference_queue_length", "gauge", "Inferences that wait for their turn")
_RUNNING = Family("inference_running", "gauge", "Inferences in the model now")
_BATCHES = Family("inference_batch_size", "histogram", "Calls that went through the model together")
_REFUSED = Family("inference_queue_refused", "counter", "Inferences refused because the queue was full")
_EXPIRED = Family("inference_queue_expired", "counter", "Inferences whose deadline passed in the queue")
_CONNECTIONS = Family("v2serve_connections", "gauge", "Open connections")
_HELD = Family(
    "v2serve_held_bytes", "gauge", "Bytes received, waiting for their answer, or of answers not yet taken"
)


class Release(NamedTuple):
    """What Git names."""

    model: str
    version: str | None
    digest: str
    run: str | None = None

    def labels(self) -> str:
        return labels((("model", self.model), ("version", self.version or "")))


class LaneCounts(Interface):
    """What a lane counts; `batches[n]` is how often n calls went through the model together."""

    @property
    def queued(self) -> int: ...
    @property
    def running(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def expired(self) -> int: ...
    @property
    def batches(self) -> Mapping[int, int]: ...


class WireCounts(Interface):
    """What the wire counts."""

    @property
    def connections(self) -> int: ...
    @property
    def held_bytes(self) -> int: ...


class ModelMetrics:
    """Counts of one release's inference requests; only the thread of the event loop writes."""

    __slots__ = (
        "_buckets", "_bytes_in", "_bytes_out", "_counts", "_labels", "_seconds",
        "in_flight", "lane", "ready", "release",
    )  # fmt: skip

    def __init__(self, release: Release, lane: LaneCounts | None = None) -> None:
        self.release = release
        self.lane = lane
        self.in_flight = 0
        self.ready = True
        self._labels = release.labels()
        self._counts: dict[str, dict[int, int]] = {name: defaultdict(int) for name in PROTOCOLS}
        self._counts[REST][200] = 0  # a rate needs a zero to rise from
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self._bytes_in = 0
        self._bytes_out = 0

    def observe(self, protocol: str, code: int, seconds: float, bytes_in: int, bytes_out: int) -> None:
        """One answered request; `protocol` is one of PROTOCOLS, `code` an HTTP status."""
        self._counts[protocol][code] += 1
        self._buckets[bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds
        self._bytes_in += bytes_in
        self._bytes_out += bytes_out

    def samples(self) -> Iterator[Sample]:
        own = self._labels
        yield from self._requests()
        yield from histogram(_DURATION, own, _LIMITS, self._buckets, self._seconds)
        yield Sample(_BYTES_IN, own, self._bytes_in)
        yield Sample(_BYTES_OUT, own, self._bytes_out)
        yield Sample(_IN_FLIGHT, own, self.in_flight)
        yield Sample(_READY, own, self.ready)
        release = {name: value or "" for name, value in self.release._asdict().items()}
        yield Sample(_INFO, labels(sorted(release.items())), 1)
        if self.lane is not None:
            yield from _lane_samples(own, self.lane)

    def _requests(self) -> Iterator[Sample]:
        totals: dict[int, int] = defaultdict(int)
        for protocol, counts in self._counts.items():
            for code, count in sorted(counts.items()):
                totals[code] += count
                own = f'code="{code}",{self._labels},protocol="{protocol}"'
                yield Sample(_BY_PROTOCOL, own, count)
        for code, count in sorted(totals.items()):
            yield Sample(_REQUESTS, f'code="{code}",{self._labels}', count)


def _lane_samples(own: str, lane: LaneCounts) -> Iterator[Sample]:
    yield Sample(_QUEUED, own, lane.queued)
    yield Sample(_RUNNING, own, lane.running)
    yield Sample(_REFUSED, own, lane.refused)
    yield Sample(_EXPIRED, own, lane.expired)
    counts = [0] * (len(_SIZES) + 1)
    batches = dict(lane.batches)
    for size, count in batches.items():
        counts[bisect_left(_SIZES, size)] += count
    calls = sum(size * count for size, count in batches.items())
    yield from histogram(_BATCHES, own, _SIZE_LIMITS, counts, calls)


class WireMetrics:
    """The wire's counters, as a source."""

    def __init__(self, wire: WireCounts) -> None:
        self._wire = wire

    def samples(self) -> Iterator[Sample]:
        yield Sample(_CONNECTIONS, "", self._wire.connections)
        yield Sample(_HELD, "", self._wire.held_bytes)
