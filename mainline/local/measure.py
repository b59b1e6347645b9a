"""What the gateway counts, for Prometheus and for its own page."""

from collections import Counter

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client import Counter as Metric

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Measure:
    """`totals` since the start: requests by status class, retries, mirrored and dropped copies."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self.registry = CollectorRegistry()
        self._requests = Metric(
            "gateway_requests", "Answered requests", ("route", "service", "code"), registry=self.registry
        )
        self._seconds = Histogram(
            "gateway_request_duration_seconds",
            "From the whole request read to the answer written",
            ("route",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._events = Metric(
            "gateway_events", "Retries, copies sent, copies dropped", ("event",), registry=self.registry
        )
        self.generation = Gauge(
            "gateway_generation", "Generation of the live objects", registry=self.registry
        )
        self._known: dict[tuple[str, str, int], Metric] = {}
        self._timers: dict[str, Histogram] = {}

    def answered(self, route: str, service: str, code: int, seconds: float) -> None:
        # Looking labels up takes longer than counting, so the children are kept.
        key = (route, service, code)
        if key not in self._known:
            self._known[key] = self._requests.labels(route, service, str(code))
        if route not in self._timers:
            self._timers[route] = self._seconds.labels(route)
        self._known[key].inc()
        self._timers[route].observe(seconds)
        self.totals[f"{code // 100}xx"] += 1

    def event(self, name: str) -> None:
        self.totals[name] += 1
        self._events.labels(name).inc()

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
