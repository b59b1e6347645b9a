"""One JSON line for a share of the requests, written in batches by a thread that may block alone."""

import contextlib
import json
import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from queue import Full, Queue
from threading import Thread
from typing import NamedTuple

import msgspec

from v2serve.observe.exposition import Family, Sample

_LINES = 512  # entries of one batch
_BATCHES = 16  # that wait for a stream that blocks; more are dropped
_LONGEST = 2048  # characters of a path or an id: a caller must not choose how much we write
_WRITTEN = Family("v2serve_access_log_lines", "counter", "Lines of the access log that were written")
_DROPPED = Family(
    "v2serve_access_log_dropped", "counter", "Lines that the stream of the access log did not take"
)


class Entry(NamedTuple):
    """`time` is seconds since 1970; model, version and digest are None where no model was asked."""

    time: float
    method: str
    path: str
    status: int
    model: str | None
    version: str | None
    digest: str | None
    request_id: str | None
    duration_ms: float
    bytes_in: int
    bytes_out: int
    http: str
    protocol: str
    trace_id: str | None


def line(entry: Entry) -> bytes:
    """JSON and a newline, ASCII without control characters, whatever the caller sent."""
    fields = {
        **entry._asdict(),
        "time": f"{_second(int(entry.time))}.{int(entry.time % 1 * 1000):03d}Z",
        "method": entry.method[:32],
        "path": entry.path[:_LONGEST],
        "request_id": entry.request_id and entry.request_id[:_LONGEST],
        "duration_ms": round(entry.duration_ms, 3),
    }
    try:
        text = msgspec.json.encode(fields)
    except UnicodeEncodeError:  # half of a surrogate pair
        return _spelled(fields)
    return text + b"\n" if text.isascii() and b"\x7f" not in text else _spelled(fields)


@lru_cache(maxsize=4)
def _second(time: int) -> str:
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%S}"


def _spelled(fields: dict[str, object]) -> bytes:
    """Everything beyond printable ASCII as \\u; half of a surrogate pair becomes U+FFFD."""
    whole = {
        name: value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if isinstance(value, str)
        else value
        for name, value in fields.items()
    }
    return json.dumps(whole, separators=(",", ":")).replace("\x7f", "\\u007f").encode() + b"\n"


class AccessLog:
    """Entries are kept while requests are answered; `flush` makes them lines, a thread writes the lines."""

    def __init__(self, rate: float, descriptor: int = 1) -> None:
        """`rate` is the share of requests below status 500; the others are always told."""
        self._rate = rate
        self._entries: list[Entry] = []
        self._batches: Queue[tuple[bytes, int] | None] = Queue(_BATCHES)
        self._descriptor = descriptor
        self._written = 0
        self._refused = 0  # the queue was full
        self._lost = 0  # the stream was closed
        self._thread = Thread(target=self._write, name="access-log", daemon=True)
        self._thread.start()

    def chosen(self, status: int) -> bool:
        """Whether this request is told."""
        return status >= 500 or random.random() < self._rate  # noqa: S311 (a sample, no secret)

    def note(self, entry: Entry) -> None:
        self._entries.append(entry)
        if len(self._entries) >= _LINES:
            self.flush()

    def flush(self) -> None:
        """Hand over what was noted; never blocks."""
        entries, self._entries = self._entries, []
        if not entries:
            return
        if self._batches.full():  # before a line is made for nothing
            self._refused += len(entries)
            return
        with contextlib.suppress(Full):  # only this thread puts: it cannot be
            self._batches.put_nowait((b"".join(map(line, entries)), len(entries)))

    def close(self, seconds: float = 1.0) -> None:
        """Write what is left, for at most so long."""
        self.flush()
        with contextlib.suppress(Full):  # a stream that blocks: its thread ends with the process
            self._batches.put(None, timeout=seconds)
            self._thread.join(seconds)

    def samples(self) -> Iterator[Sample]:
        yield Sample(_WRITTEN, "", self._written)
        yield Sample(_DROPPED, "", self._refused + self._lost)

    def _write(self) -> None:
        while (batch := self._batches.get()) is not None:
            text, count = batch
            if _write_all(self._descriptor, text):
                self._written += count
            else:
                self._lost += count


def _write_all(descriptor: int, text: bytes) -> bool:
    rest = memoryview(text)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:  # closed, or the disk is full: the next batch may fare better
        return False
    return True
