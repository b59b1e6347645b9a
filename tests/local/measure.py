"""Figures of docs/embedded.md: `python -m tests.local.measure` prints them, with real servers, in half a minute."""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.local.rendered import REQUEST, promote, real_artifact, stable
from tests.local.world import World

BODY = json.dumps(REQUEST).encode()
SECONDS = 3.0
ROUNDS = 5


class Caller(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it is answered; seconds of each answer in `spent`."""

    def __init__(self, path: str, spent: list[float], end: float) -> None:
        lines = [
            f"POST {path} HTTP/1.1",
            "host: x",
            "content-type: application/json",
            f"content-length: {len(BODY)}",
        ]
        self.request = "\r\n".join(lines).encode() + b"\r\n\r\n" + BODY
        self.spent, self.end, self.read = spent, end, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.begun = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.read += data
        head, found, body = self.read.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            return
        assert head.startswith(b"HTTP/1.1 200"), self.read
        self.spent.append(time.perf_counter() - self.begun)
        self.read = b""
        if time.perf_counter() < self.end:
            self.ask()
        else:
            self.transport.close()


async def load(port: int, connections: int) -> list[float]:
    spent: list[float] = []
    end = time.perf_counter() + SECONDS
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Caller("/v2/models/iris/infer", spent, end), "127.0.0.1", port)
    await asyncio.sleep(SECONDS + 0.2)
    return sorted(spent)


def pin(pid: int, core: int) -> None:
    with suppress(AttributeError):  # a system without affinity measures without it
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


def until_first_answer(world: World, number: int) -> float:
    """Seconds from the moment that main moves to the first answer of the new model."""
    digest = real_artifact(world, "iris", float(number))
    commit = promote(world, {"iris": stable(digest, number)})
    begun = time.perf_counter()
    while world.ask("iris", BODY, content_type="application/json")[1]["x-model-digest"] != digest:
        time.sleep(0.002)
    spent = time.perf_counter() - begun
    world.sync(commit)
    return spent


def figures(world: World) -> list[str]:
    world.sync(promote(world, {"iris": stable(real_artifact(world, "iris", 1.0))}))
    spent = [until_first_answer(world, number) for number in range(2, 2 + ROUNDS)]
    lines = [f"commit to first answer   median {statistics.median(spent):.2f} s   slowest {max(spent):.2f} s"]
    service = next(iter(world.status()["applications"]["models/iris"]["services"].values()))
    gateway = int((world.environment.address or "").rpartition(":")[2])
    pids = world.pids()
    for name, pid in pids.items():
        pin(pid, 0 if name == "gateway" else 1)
    pin(os.getpid(), 1)
    for connections in (1, 32):
        for name, port in (("v2serve", service["port"]), ("gateway", gateway)):
            answers = asyncio.run(load(port, connections))
            rate, half = len(answers) / SECONDS, 1000 * answers[len(answers) // 2]
            lines.append(f"{name}, {connections:2} connections   {rate:7,.0f} req/s   p50 {half:.2f} ms")
    return lines


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder)).start()
        try:
            sys.stdout.write("\n".join(figures(world)) + "\n")
        finally:
            world.environment.stop()
