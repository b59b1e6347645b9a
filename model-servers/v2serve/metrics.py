"""What Prometheus reads: plain integers while serving, turned into metric families when scraped."""

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

_MS = 0.001
BUCKETS = (
    0.1 * _MS, 0.25 * _MS, 0.5 * _MS, 1 * _MS, 2.5 * _MS, 5 * _MS, 10 * _MS, 25 * _MS, 50 * _MS,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip


class Metrics(Collector):
    """Counts of one model's inference requests; one thread writes."""

    def __init__(self, model: str, version: str | None, digest: str, run: str | None) -> None:
        self.in_flight = 0
        self.ready = True
        self._identity = {"model": model, "version": version or "", "digest": digest, "run": run or ""}
        self._codes: dict[int, int] = {200: 0}
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self._bytes_in = 0
        self._bytes_out = 0

    def observe(self, code: int, seconds: float, bytes_in: int, bytes_out: int) -> None:
        self._codes[code] = self._codes.get(code, 0) + 1
        self._buckets[bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds
        self._bytes_in += bytes_in
        self._bytes_out += bytes_out

    def collect(self) -> Iterator[Metric]:
        labels = ["model", "version"]
        values = [self._identity["model"], self._identity["version"]]
        requests = CounterMetricFamily(
            "inference_requests", "Inference requests answered, by HTTP status", labels=[*labels, "code"]
        )
        for code, count in sorted(self._codes.items()):
            requests.add_metric([*values, str(code)], count)
        yield requests
        yield self._duration(labels, values)
        for name, help_text, total in (
            ("inference_request_bytes", "Bytes of inference request bodies", self._bytes_in),
            ("inference_response_bytes", "Bytes of inference response bodies", self._bytes_out),
        ):
            counter = CounterMetricFamily(name, help_text, labels=labels)
            counter.add_metric(values, total)
            yield counter
        yield from self._gauges(labels, values)

    def _gauges(self, labels: list[str], values: list[str]) -> Iterator[Metric]:
        for name, help_text, value in (
            ("inference_requests_in_flight", "Inference requests being received or answered", self.in_flight),
            ("model_ready", "1 while the server says it is ready, 0 while it drains", int(self.ready)),
        ):
            gauge = GaugeMetricFamily(name, help_text, labels=labels)
            gauge.add_metric(values, value)
            yield gauge
        yield InfoMetricFamily("model", "The release that is served", value=self._identity)

    def _duration(self, labels: list[str], values: list[str]) -> Metric:
        histogram = HistogramMetricFamily(
            "inference_request_duration_seconds", "From the request's headers to its answer", labels=labels
        )
        total, buckets = 0, []
        for limit, count in zip((*map(str, BUCKETS), "+Inf"), self._buckets, strict=True):
            total += count
            buckets.append((limit, float(total)))
        histogram.add_metric(values, buckets, self._seconds)
        return histogram


class Exposition:
    """The registry of one server, in the format that the scraper accepts."""

    def __init__(self, metrics: Metrics) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(metrics)
        ProcessCollector(registry=self._registry)

    def render(self, accept: str) -> tuple[str, bytes]:
        """The content type and the text."""
        encoder, content_type = choose_encoder(accept)
        return content_type, encoder(self._registry)
