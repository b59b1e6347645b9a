"""Heads of HTTP/1 answers as bytes, prepared once for each status and its headers."""

from http import HTTPStatus
from typing import NamedTuple

from v2serve.wire.exchange import Headers

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_BODILESS = (204, 304)
_CACHED = 512
_OWN = ("content-length", "date", "transfer-encoding")  # the wire's to say


class Head(NamedTuple):
    """`start` ends where the length of the body belongs, or, where there is none, before the next header."""

    start: bytes
    bodiless: bool
    close: bool


_heads: dict[tuple[int, Headers], Head] = {}


def head_of(status: int, headers: Headers) -> Head:
    key = (status, headers)
    head = _heads.get(key)
    if head is None:
        if len(_heads) >= _CACHED:
            _heads.clear()
        head = _heads[key] = _build(status, headers)
    return head


def header_value(value: str) -> str:
    """A value that cannot end its line: whatever an application says, it says it in one header."""
    return value.translate(_LINE).strip()


_LINE = dict.fromkeys((*range(32), 127), " ")


def _build(status: int, headers: Headers) -> Head:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
    lines += [f"{name}: {header_value(value)}" for name, value in headers if name not in _OWN]
    bodiless = status in _BODILESS
    if not bodiless:
        lines.append("content-length: ")
    start = "\r\n".join(lines).encode("latin-1", "replace")
    close = any(name == "connection" and value.lower() == "close" for name, value in headers)
    return Head(start, bodiless, close)
