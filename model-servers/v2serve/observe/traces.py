"""Whether a request is traced: W3C trace context in, the standard variables of OpenTelemetry; imports none of it.

Sources: w3.org/TR/trace-context (version 00), OpenTelemetry's SDK environment variables.
"""

import logging
import random
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from v2serve.observe.spans import Spans

_log = logging.getLogger("v2serve")

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_KEY = r"[a-z0-9][a-z0-9_*/-]{0,240}(?:@[a-z][a-z0-9_*/-]{0,13})?"
_MEMBER = re.compile(rf"({_KEY})=([ -+\--<>-~]{{0,255}}[!-+\--<>-~])", re.ASCII)
_LONGEST_STATE, _MOST_MEMBERS = 512, 32  # the specification asks for this much; more is not passed on
_ALL = 1 << 64
_LOW = _ALL - 1
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_ROOTS = {"always_on": 1.0, "always_off": 0.0, "traceidratio": None}
_DEFAULT = "parentbased_always_on"


class Parent(NamedTuple):
    """The caller's span: hex of the trace and of the span, and whether the caller records it."""

    trace: str
    span: str
    sampled: bool


def read_parent(text: str | None) -> Parent | None:
    """A traceparent header; None for one that the specification tells us to ignore."""
    if text is None or (match := _TRACEPARENT.fullmatch(text.strip(" \t"))) is None:
        return None
    version, trace, span, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or trace == _NO_TRACE or span == _NO_SPAN:
        return None
    return Parent(trace, span, bool(int(flags, 16) & 1))


def read_state(text: str | None) -> list[tuple[str, str]]:
    """The members of a tracestate header; none of one that is malformed: the specification tells us to drop it."""
    if text is None or len(text) > _LONGEST_STATE:
        return []
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    pairs = [(match[1], match[2]) for member in members if (match := _MEMBER.fullmatch(member))]
    whole = len(pairs) == len(members) <= _MOST_MEMBERS and len(dict(pairs)) == len(pairs)
    return pairs if whole else []


class Sampling(NamedTuple):
    """`below` of 2**64 traces are recorded, by the low half of their id; a parent decides if it is asked."""

    below: int = _ALL
    asks_parent: bool = True

    def trace_id(self, parent: Parent | None) -> int:
        """The trace that a request belongs to; 0: not recorded."""
        if parent is None:
            drawn = random.getrandbits(128)
            return drawn if drawn & _LOW < self.below else 0
        if self.asks_parent:
            return int(parent.trace, 16) if parent.sampled else 0
        trace = int(parent.trace, 16)
        return trace if trace & _LOW < self.below else 0


def read_sampling(environ: Mapping[str, str]) -> Sampling:
    """OTEL_TRACES_SAMPLER and its argument; what is not known is said and taken for the default."""
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower() or _DEFAULT
    root = name.removeprefix("parentbased_")
    if root not in _ROOTS:
        known = ", ".join((*_ROOTS, *(f"parentbased_{each}" for each in _ROOTS)))
        _log.warning("OTEL_TRACES_SAMPLER: %r is not known; write one of %s", name, known)
        return Sampling()
    share = _ROOTS[root]
    ratio = _ratio(environ.get("OTEL_TRACES_SAMPLER_ARG", "")) if share is None else share
    return Sampling(round(ratio * _ALL), name != root)


def _ratio(text: str) -> float:
    try:
        ratio = float(text or 1)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        _log.warning("OTEL_TRACES_SAMPLER_ARG: %r is not a share; write a number from 0 to 1", text)
        return 1.0
    return ratio


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a collector that this server can talk to."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return False
    if not any(environ.get(name, "").strip() for name in _ENDPOINTS):
        return False
    protocol = next((value for name in _PROTOCOLS if (value := environ.get(name))), "http/protobuf")
    if protocol != "http/protobuf":
        _log.warning("%s: %r is not offered; write http/protobuf. No traces", _PROTOCOLS[1], protocol)
        return False
    return True


def open_traces(environ: Mapping[str, str]) -> "Spans | None":
    """Where spans go; None, and nothing imported, unless the environment names a collector."""
    if not wanted(environ):
        return None
    from v2serve.observe.spans import Spans  # 0.3 s that a server without traces does not wait

    return Spans(read_sampling(environ))
