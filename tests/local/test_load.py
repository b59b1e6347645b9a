"""Steady traffic while releases change: no request fails, and each answer is one that Git names."""

import asyncio
import json
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import pytest

from tests.local.rendered import REQUEST, promote, real_artifact, stable
from tests.local.world import World

RATE = 200
CHANGES = 20
BODY = json.dumps(REQUEST).encode()
HEADERS = {"content-type": "application/json"}


@dataclass
class Answer:
    sent: float
    received: float
    digest: str


@dataclass
class Timeline:
    """Digest of each commit, when main moved to it and when it was known to be synced."""

    digests: list[str] = field(default_factory=list)
    committed: list[float] = field(default_factory=list)
    synced: list[float] = field(default_factory=list)

    def allowed(self, answer: Answer) -> set[str]:
        """Every digest from the last commit synced before the question to the newest one before the answer."""
        first = max(0, bisect_right(self.synced, answer.sent) - 1)
        return set(self.digests[first : bisect_right(self.committed, answer.received)])


async def steady(url: str, going: Callable[[], bool]) -> tuple[list[Answer], list[str]]:
    """An open loop: a question every 5 ms, whether the ones before it were answered or not."""
    answers: list[Answer] = []
    failures: list[str] = []

    async def ask(session: aiohttp.ClientSession) -> None:
        sent = time.monotonic()
        try:
            async with session.post(url, data=BODY, headers=HEADERS) as response:
                text = await response.text()
                if response.status != 200:
                    failures.append(f"{response.status} {text}")
                answers.append(Answer(sent, time.monotonic(), response.headers.get("x-model-digest", "")))
        except aiohttp.ClientError as error:
            failures.append(repr(error))

    begin, asked, tasks = time.monotonic(), 0, set()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        while going():
            for _ in range(asked, int((time.monotonic() - begin) * RATE)):
                asked += 1
                task = asyncio.create_task(ask(session))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.sleep(0.005)
        await asyncio.gather(*tasks)
    return answers, failures


def roll(world: World, timeline: Timeline, digests: list[str]) -> None:
    """Promote each digest, and revert every second one."""
    for number, digest in enumerate(digests, start=2):
        change(
            world,
            timeline,
            digest,
            lambda digest=digest, n=number: promote(world, {"iris": stable(digest, n)}),
        )
        change(world, timeline, timeline.digests[-2], world.revert)


def change(world: World, timeline: Timeline, digest: str, make: Callable[[], str]) -> None:
    # Noted before main moves: the agent may be faster than this thread.
    timeline.committed.append(time.monotonic())
    timeline.digests.append(digest)
    world.sync(make(), 30)
    timeline.synced.append(time.monotonic())


@pytest.mark.e2e
@pytest.mark.slow
async def test_no_request_fails_while_releases_change(world: World) -> None:
    digests = [real_artifact(world, "iris", float(factor)) for factor in range(1, CHANGES // 2 + 2)]
    timeline = Timeline()
    change(world, timeline, digests[0], lambda: promote(world, {"iris": stable(digests[0])}))
    rolling = asyncio.create_task(asyncio.to_thread(roll, world, timeline, digests[1:]))
    url = f"{world.environment.address}/v2/models/iris/infer"
    answers, failures = await steady(url, lambda: not rolling.done())
    await rolling
    assert failures == []
    assert len(timeline.digests) == CHANGES + 1
    assert len(answers) > 1000
    assert [answer for answer in answers if answer.digest not in timeline.allowed(answer)] == []
    assert {answer.digest for answer in answers} == set(digests)


async def crowd(url: str, clients: int, seconds: float) -> Counter[str]:
    """Closed loop: each client asks again on its own connection as soon as it is answered."""
    told: Counter[str] = Counter()
    end = time.monotonic() + seconds

    async def ask(session: aiohttp.ClientSession) -> None:
        while time.monotonic() < end:
            try:
                async with session.post(url, data=BODY, headers=HEADERS) as response:
                    await response.read()
                    told[str(response.status)] += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                told[repr(error)] += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(ask(session) for _ in range(clients)))
    return told


@pytest.mark.e2e
@pytest.mark.slow
async def test_a_crowd_of_250_clients_fails_nowhere_and_costs_no_server(world: World) -> None:
    digest = real_artifact(world, "iris", 1.0)
    await asyncio.to_thread(world.sync, promote(world, {"iris": stable(digest)}))
    before = world.pids()
    told = await crowd(f"{world.environment.address}/v2/models/iris/infer", 250, 15.0)
    assert set(told) == {"200"}
    assert told["200"] > 2000
    assert world.pids() == before
    services = world.status()["applications"]["models/iris"]["services"].values()
    assert [service["restarts"] for service in services] == [0]
