"""A tiny application on a wire of its own, in a thread, and a blocking caller."""

import asyncio
import json
import socket
import threading
import time
from asyncio import Future
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import uvloop

from v2serve.wire.exchange import Answer, Request, WireLimits
from v2serve.wire.server import Server, bind

JSON = (("content-type", "application/json"),)
_SLOW_AND_BIG = 5_000_000
GRPC = (("content-type", "application/grpc"),)


class Echo:
    """Answers with the body it is sent; some paths do something else."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, int | None]] = []
        self.futures: list[Future[Answer]] = []
        self.asked = 0
        self.together: list[int] = []
        self.admitted: list[str] = []

    def admit(self, request: Request) -> Answer | None:
        if request.path == "/raise/admit":
            raise ValueError("admit")
        if request.path == "/missing":
            return self.refuse(request, 404, "no such path")
        self.admitted.append(request.path)
        return None

    def answers(self, requests: Sequence[Request]) -> "list[Answer | Future[Answer]]":
        self.together.append(len(requests))
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> "Answer | Future[Answer]":
        self.asked += 1
        if request.path == "/raise":
            raise ValueError("answer")
        if request.path == "/broken":  # headers that cannot be: the wire's own defect, as it were
            return Answer(200, [("x", "y")], b"")  # type: ignore[arg-type]
        if request.path == "/big":
            return Answer(200, JSON, b"b" * int(request.query))
        if request.path == "/slow/big":
            return self._later(request, b"s" * _SLOW_AND_BIG)
        if request.path == "/grpc":
            return Answer(200, GRPC, request.body, (("grpc-status", "0"),))
        if request.path in ("/never", "/later"):
            return self._later(request)
        body = request.body or f"{request.method} {request.path}?{request.query}".encode()
        return Answer(200, (*JSON, ("x-seen", request.headers.get("x-say", "-"))), body)

    def refuse(self, request: Request | None, status: int, message: str) -> Answer:
        return Answer(status, JSON, json.dumps({"error": message}).encode())

    def answered(self, request: Request, answer: Answer | None) -> None:
        self.noted.append((request.path, None if answer is None else answer.status))

    def _later(self, request: Request, body: bytes = b"") -> "Future[Answer]":
        loop = asyncio.get_running_loop()
        future: Future[Answer] = loop.create_future()
        self.futures.append(future)
        if request.path != "/never":
            answer = Answer(200, JSON, body or b"later " + request.body)
            loop.call_later(float(request.query or 0.01), _give, future, answer)
        return future


def _give(future: "Future[Answer]", answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)


class Running:
    """A server in a thread of its own."""

    def __init__(self, limits: WireLimits) -> None:
        self.echo = Echo()
        self._limits = limits
        listening = bind("127.0.0.1", 0)
        self.port: int = listening.getsockname()[1]
        self._listening = listening
        self._ready = threading.Event()
        self.thread = threading.Thread(target=lambda: uvloop.run(self._serve()), daemon=True)
        self.grace = 1.0

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.server = Server(self.echo, self._listening, self._limits)
        self._stop = asyncio.Event()
        await self.server.start()
        self._ready.set()
        await self._stop.wait()
        await self.server.close(self.grace)

    def start(self) -> None:
        self.thread.start()
        assert self._ready.wait(5)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)

    def call(self, what: str) -> None:
        """Run a method of the server in its thread."""
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (getattr(self.server, what)(), done.set()))
        assert done.wait(5)

    def forget(self) -> None:
        """Forget what was noted, once callers of whom something may still be noted have had time to go."""
        eventually(lambda: self.server.connections == 0)
        self.echo.noted.clear()

    def connect(self) -> socket.socket:
        caller = socket.create_connection(("127.0.0.1", self.port))
        caller.settimeout(5)
        return caller


@contextmanager
def serving(**limits: float) -> Iterator[Running]:
    running = Running(WireLimits(**limits))  # type: ignore[arg-type]
    running.start()
    yield running
    if running.thread.is_alive():
        running.grace = min(running.grace, 0.2)
        running.loop.call_soon_threadsafe(running._stop.set)
        running.thread.join(5)
    assert not running.thread.is_alive()
    assert running.server.held == 0


class Reply:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])


class Caller:
    """Reads HTTP/1 answers one by one, or to the end."""

    def __init__(self, running: Running) -> None:
        self.socket = running.connect()
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self, head: bool = False) -> Reply:
        status = int(self.file.readline().split()[1])
        headers = {}
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().strip().partition(": ")
            headers[name] = value
        size = 0 if head or status == 100 else int(headers.get("content-length", 0))
        return Reply(status, headers, self.file.read(size))

    def ask(self, data: bytes) -> Reply:
        self.send(data)
        return self.reply()

    def ended(self) -> bool:
        return self.file.read(1) == b""

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@contextmanager
def calling(running: Running) -> Iterator[Caller]:
    caller = Caller(running)
    try:
        yield caller
    finally:
        caller.close()


def get(path: str, *lines: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "host: h", *lines, "", "")).encode("latin-1")


def post(path: str, body: bytes, *lines: str) -> bytes:
    head = "\r\n".join((f"POST {path} HTTP/1.1", "host: h", f"content-length: {len(body)}", *lines, "", ""))
    return head.encode("latin-1") + body


def eventually(true: Callable[[], bool]) -> bool:
    until = time.monotonic() + 3
    while not true() and time.monotonic() < until:
        time.sleep(0.01)
    return true()


def ended_while_sending(channel: socket.socket, part: bytes, seconds: float = 3.0) -> bool:
    """Send one part after another until the server has had enough."""
    channel.settimeout(0.01)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            channel.sendall(part)
            if channel.recv(4096) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False
