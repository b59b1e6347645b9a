"""Counts as the text that Prometheus reads, in its own format and in OpenMetrics.

Our own writer, because prometheus_client's builds an object for each sample: 600 samples take it 6 ms of the
thread that serves. Sources: prometheus.io/docs/instrumenting/exposition_formats, OpenMetrics 1.0.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_FRESH_SECONDS = 0.1  # under a storm of scrapes the text is written this often
_BURST = 5.0  # but who looks, calls, and looks again, sees the call
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_SUFFIX = {"counter": "_total", "info": "_info"}


class Family(NamedTuple):
    """`name` has no _total and no _info; `kind` is counter, gauge, histogram or info."""

    name: str
    kind: str
    help: str


class Sample(NamedTuple):
    """`labels` is text made by `labels()`; `suffix` is _bucket, _sum or _count of a histogram."""

    family: Family
    labels: str
    value: float
    suffix: str = ""


class Source(Protocol):
    """Something that is counted."""

    def samples(self) -> Iterable[Sample]:
        """What is counted now; called when scraped, in the thread that serves."""


def labels(pairs: Iterable[tuple[str, str]]) -> str:
    """`name="value",...`, escaped."""
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs)


def histogram(
    family: Family, own: str, limits: Sequence[str], counts: Iterable[int], total: float
) -> Iterator[Sample]:
    """`counts` are those of each bucket alone, one more than `limits`: above the last."""
    so_far = 0
    for limit, count in zip((*limits, "+Inf"), counts, strict=True):
        so_far += count
        yield Sample(family, f'le="{limit}",{own}', so_far, "_bucket")
    yield Sample(family, own, so_far, "_count")
    yield Sample(family, own, total, "_sum")


def render(samples: Iterable[Sample], open_metrics: bool = False) -> bytes:
    """All samples of a family stand together under its head, whatever order they come in."""
    families: dict[Family, list[str]] = {}
    last: Family | None = None
    for family, own, value, suffix in samples:
        if family is not last:  # runs of one family are the rule
            last = family
            ending = _SUFFIX.get(family.kind, "")
            lines = families.setdefault(family, [])
        told = f"{{{own}}}" if own else ""
        lines.append(f"{family.name}{suffix or ending}{told} {float(value)}\n")
    text = "".join(
        part for family, lines in families.items() for part in (_head(family, open_metrics), *lines)
    )
    return (text + "# EOF\n" if open_metrics else text).encode(errors="replace")


def _head(family: Family, open_metrics: bool) -> str:
    name, kind = family.name, family.kind
    if not open_metrics:  # which knows no info, and names a counter by its sample
        name += _SUFFIX.get(kind, "")
        kind = "gauge" if kind == "info" else kind
    return f"# HELP {name} {family.help}\n# TYPE {name} {kind}\n"


def takes_open_metrics(accept: str) -> bool:
    """Whether the scraper asks for OpenMetrics."""
    return any(part.partition(";")[0].strip() == "application/openmetrics-text" for part in accept.split(","))


class _Text:
    """The text of one format: written when asked, but under a storm of scrapes once in 100 ms."""

    def __init__(self, open_metrics: bool) -> None:
        self._open_metrics = open_metrics
        self._allowed = _BURST
        self._at = 0.0
        self._bytes: bytes | None = None

    def read(self, sources: Iterable[Source], now: float) -> bytes:
        self._allowed = min(_BURST, self._allowed + (now - self._at) / _FRESH_SECONDS)
        self._at = now
        if self._bytes is None or self._allowed >= 1:
            self._allowed -= 1
            samples = (sample for source in sources for sample in source.samples())
            self._bytes = render(samples, self._open_metrics)
        return self._bytes


class Exposition:
    """The sources of one server, in the format that the scraper accepts."""

    def __init__(self, sources: Iterable[Source] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._sources = list(sources)
        self._clock = clock
        self._texts = {wanted: _Text(wanted) for wanted in (False, True)}

    def add(self, source: Source) -> None:
        self._sources.append(source)

    def remove(self, source: Source) -> None:
        self._sources.remove(source)

    def render(self, accept: str = "") -> tuple[str, bytes]:
        """The content type and the text, for this header."""
        wanted = takes_open_metrics(accept)
        text = self._texts[wanted].read(self._sources, self._clock())
        return OPEN_METRICS if wanted else TEXT, text
