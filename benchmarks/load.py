"""Load from one process on one core: closed loop and open loop over HTTP/1, closed loop over gRPC."""

import argparse
import asyncio
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import uvloop

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_WINDOW = 2**31 - 1
_DATA, _HEADERS, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_GRACE_SECONDS = 2.0
_SCRIPT = """
wrk.method = 'POST'
FIELDS
wrk.body = io.open('BODY', 'rb'):read('*a')
done = function(summary, latency)
    io.write(string.format('RESULT %d %d %d %d %d %d', summary.requests, summary.duration, latency:percentile(50),
        latency:percentile(95), latency:percentile(99),
        summary.errors.status + summary.errors.read + summary.errors.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What one round saw: answers a second, the latencies' quantiles in ms, how many answers were not 200."""

    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    failed: int


class Caller(asyncio.Protocol):
    """One connection of HTTP/1 that asks the same again and again."""

    def __init__(self, message: bytes, done: Callable[["Caller", float, bool], None]) -> None:
        self._message, self._done = message, done
        self._left = b""
        self._begin = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def ask(self, begin: float) -> None:
        """`begin` is when the request was due, which is where its latency starts."""
        self._begin = begin
        assert self.transport is not None
        self.transport.write(self._message)

    def data_received(self, data: bytes) -> None:
        self._left += data
        head = self._left.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._left.lower().find(b"content-length: ", 0, head)
        length = int(self._left[at + 16 : self._left.find(b"\r", at)])
        if len(self._left) >= head + 4 + length:
            good = self._left.startswith(b"HTTP/1.1 200")
            self._left = b""
            self._done(self, time.perf_counter() - self._begin, good)


class Stream(asyncio.Protocol):
    """One connection of HTTP/2 that keeps one gRPC call open."""

    def __init__(self, message: bytes, path: str, done: Callable[["Stream", float, bool], None]) -> None:
        self._done = done
        head = _header_block(path)
        data = b"\0" + struct.pack(">I", len(message)) + message
        self._frames = [(_HEADERS, _END_HEADERS, head)]
        pieces = [data[start : start + 16384] for start in range(0, len(data), 16384)]
        self._frames += [(_DATA, 0, piece) for piece in pieces[:-1]] + [(_DATA, _END_STREAM, pieces[-1])]
        self._number, self._left, self._begin, self._good = -1, b"", 0.0, False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        settings = struct.pack(">HI", 4, _WINDOW)
        opening = _frame(_SETTINGS, 0, 0, settings) + _frame(
            _WINDOW_UPDATE, 0, 0, struct.pack(">I", _WINDOW - 65535)
        )
        self.transport.write(_PREFACE + opening)  # type: ignore[union-attr]

    def ask(self, begin: float) -> None:
        self._begin, self._number, self._good = begin, self._number + 2, False
        assert self.transport is not None
        self.transport.write(
            b"".join(_frame(kind, flags, self._number, data) for kind, flags, data in self._frames)
        )

    def data_received(self, data: bytes) -> None:
        self._left += data
        while len(self._left) >= 9:
            length = int.from_bytes(self._left[:3], "big")
            if len(self._left) < 9 + length:
                return
            kind, flags, payload = self._left[3], self._left[4], self._left[9 : 9 + length]
            self._left = self._left[9 + length :]
            self._frame_received(kind, flags, payload)

    def _frame_received(self, kind: int, flags: int, payload: bytes) -> None:
        assert self.transport is not None
        if kind == _SETTINGS and not flags & _ACK:
            self.transport.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self.transport.write(_frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY:
            raise SystemExit(f"the server said goodbye: {payload!r}")
        elif kind == _DATA:
            self._good = len(payload) > 5
            self.transport.write(_frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", max(1, len(payload)))))
        if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            self._done(self, time.perf_counter() - self._begin, self._good)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def _header_block(path: str) -> bytes:
    """Literals without indexing (RFC 7541, 6.2.2): :method POST, :scheme http, and four with names."""

    def literal(name: bytes, value: bytes) -> bytes:
        return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value

    named = ((b":path", path.encode()), (b":authority", b"localhost"), (b"te", b"trailers"))
    pairs = b"".join(literal(*pair) for pair in named)
    return b"\x83\x86" + pairs + literal(b"content-type", b"application/grpc")


@dataclass(frozen=True)
class Plan:
    """One round of load: `rate` is offered requests a second, 0 for as many as are answered."""

    port: int
    connections: int
    seconds: float
    rate: int = 0
    grpc_path: str = ""


class Round:
    """One round of load over all its connections."""

    def __init__(self, plan: Plan, message: bytes) -> None:
        self._plan, self._message = plan, message
        self._taken: list[float] = []
        self._failed = 0
        self._idle: deque[Caller | Stream] = deque()
        self._due: deque[float] = deque()
        self._until = 0.0

    async def run(self) -> Load:
        loop = asyncio.get_running_loop()
        for _ in range(self._plan.connections):
            self._idle.append((await loop.create_connection(self._caller, "127.0.0.1", self._plan.port))[1])
        begin = time.perf_counter()
        self._until = begin + self._plan.seconds
        await (self._offer(begin) if self._plan.rate else self._repeat())
        elapsed = time.perf_counter() - begin
        if not self._taken:
            raise SystemExit("no request was answered")
        p50, p95, p99 = (np.quantile(self._taken, (0.5, 0.95, 0.99)) * 1e3).tolist()
        return Load(len(self._taken) / elapsed, p50, p95, p99, self._failed)

    def _caller(self) -> Caller | Stream:
        if self._plan.grpc_path:
            return Stream(self._message, self._plan.grpc_path, self._done)
        return Caller(self._message, self._done)

    def _done(self, caller: Caller | Stream, seconds: float, good: bool) -> None:
        self._taken.append(seconds)
        self._failed += not good
        if self._plan.rate:
            self._idle.append(caller)
            self._ask_due()
        elif (now := time.perf_counter()) < self._until:
            caller.ask(now)

    def _ask_due(self) -> None:
        while self._due and self._idle:
            self._idle.popleft().ask(self._due.popleft())

    async def _repeat(self) -> None:
        while self._idle:
            self._idle.popleft().ask(time.perf_counter())
        await asyncio.sleep(self._plan.seconds)

    async def _offer(self, begin: float) -> None:
        """Requests fall due at a fixed rate whatever the server does; the wait for a connection counts."""
        total, offered = round(self._plan.rate * self._plan.seconds), 0
        while offered < total:
            reached = min(total, int((time.perf_counter() - begin) * self._plan.rate))
            self._due.extend(begin + number / self._plan.rate for number in range(offered, reached))
            offered = reached
            self._ask_due()
            await asyncio.sleep(0.0005)
        patience = time.perf_counter() + _GRACE_SECONDS
        while len(self._idle) < self._plan.connections and time.perf_counter() < patience:
            await asyncio.sleep(0.01)


def http_message(path: str, body: bytes, **headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: localhost", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def load(plan: Plan, message: bytes) -> Load:
    """The load from a process of its own on core 1: wrk, where it is installed and can do it, else this module."""
    if shutil.which("wrk") and not plan.rate and not plan.grpc_path:
        return _wrk(plan, message)
    with tempfile.NamedTemporaryFile() as file:
        file.write(message)
        file.flush()
        command = [sys.executable, "-m", "benchmarks.load", json.dumps(asdict(plan)), file.name]
        said = subprocess.run(["taskset", "-c", "1", *command], capture_output=True, text=True, check=False)
    if said.returncode:
        raise SystemExit(f"the load failed: {said.stderr[-500:]}")
    return Load(**json.loads(said.stdout))


def _wrk(plan: Plan, message: bytes) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        body, script = Path(folder, "body"), Path(folder, "script.lua")
        head, _, content = message.partition(b"\r\n\r\n")
        body.write_bytes(content)
        first, *lines = head.decode().split("\r\n")
        named = [line.split(": ", 1) for line in lines if not line.startswith(("host", "content-length"))]
        fields = "".join(f"wrk.headers['{name}'] = '{value}'\n" for name, value in named)
        script.write_text(_SCRIPT.replace("FIELDS", fields).replace("BODY", str(body)))
        command = ["wrk", "-t1", f"-c{plan.connections}", f"-d{plan.seconds:.0f}s", "-s", str(script)]
        url = f"http://127.0.0.1:{plan.port}{first.split()[1]}"
        said = subprocess.run(
            ["taskset", "-c", "1", *command, url], capture_output=True, text=True, check=False
        )
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)", said.stdout)
    if found is None:
        raise SystemExit(f"the load failed: {said.stdout[-300:]}{said.stderr[-300:]}")
    requests, micros, p50, p95, p99, failed = map(int, found.groups())
    return Load(requests / micros * 1e6, p50 / 1e3, p95 / 1e3, p99 / 1e3, failed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=lambda text: Plan(**json.loads(text)))
    parser.add_argument("message", type=Path)
    chosen = parser.parse_args()
    uvloop.install()
    print(json.dumps(asdict(asyncio.run(Round(chosen.plan, chosen.message.read_bytes()).run()))))
    sys.stdout.flush()
    os._exit(0)  # connections need no farewell


if __name__ == "__main__":
    main()
