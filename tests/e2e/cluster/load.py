"""A steady stream of calls through the gateway; every answer is kept with its time and the digest that gave it."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import comb, exp, pi, sqrt
from urllib.parse import urlsplit

QUESTION = json.dumps(
    {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}]}
).encode()
CALLERS = 4


@dataclass(frozen=True)
class Answer:
    """`status` 0: no answer at all, and `digest` says why."""

    at: float
    status: int
    digest: str
    seconds: float


@dataclass
class Load:
    answers: list[Answer] = field(default_factory=list)

    def failed(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200]

    def digests(self, since: float = 0.0) -> Counter[str]:
        return Counter(answer.digest for answer in self.answers if answer.at >= since)

    def first(self, digest: str) -> float | None:
        return min((answer.at for answer in self.answers if answer.digest == digest), default=None)

    def last(self, digest: str) -> float:
        return max((answer.at for answer in self.answers if answer.digest == digest), default=0.0)


@contextmanager
def load(gateway: str, model: str, rate: float, headers: Mapping[str, str] | None = None) -> Iterator[Load]:
    """`rate` calls a second by four callers, each on a connection that it keeps; no call is repeated."""
    made, over = Load(), threading.Event()
    callers = [
        threading.Thread(target=_call, args=(gateway, model, CALLERS / rate, dict(headers or {}), made, over))
        for _ in range(CALLERS)
    ]
    for caller in callers:
        caller.start()
    try:
        yield made
    finally:
        over.set()
        for caller in callers:
            caller.join(30)


def _call(
    gateway: str, model: str, pause: float, headers: dict[str, str], made: Load, over: threading.Event
) -> None:
    host = urlsplit(gateway).netloc
    connection = http.client.HTTPConnection(host, timeout=20)
    due = time.time()
    while not over.is_set():
        made.answers.append(_ask(connection, model, headers))
        due = max(due + pause, time.time() - 1)
        over.wait(max(0.0, due - time.time()))
    connection.close()


def _ask(connection: http.client.HTTPConnection, model: str, headers: dict[str, str]) -> Answer:
    begun = time.time()
    sent = {"content-type": "application/json", **headers}
    try:
        connection.request("POST", f"/v2/models/{model}/infer", QUESTION, sent)
        answer = connection.getresponse()
        answer.read()
        digest = answer.headers.get("x-model-digest", "")
        return Answer(time.time(), answer.status, digest, time.time() - begun)
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return Answer(time.time(), 0, repr(error), time.time() - begun)


def ask(gateway: str, model: str, headers: Mapping[str, str] | None = None) -> Answer:
    """One call on a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(gateway).netloc, timeout=10)
    try:
        return _ask(connection, model, dict(headers or {}))
    finally:
        connection.close()


def interval(hits: int, calls: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval for the share that `hits` of `calls` come from; 95 % unless told otherwise."""
    share, spread = hits / calls, z * z / calls
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * sqrt(share * (1 - share) / calls + spread / calls / 4)
    return middle - half, middle + half


def plausible(hits: int, calls: int, share: float, doubt: float = 1e-4) -> bool:
    """Whether a fair share would give so few or so many hits with a probability above `doubt` on each side."""
    below = sum(_probability(n, calls, share) for n in range(hits + 1))
    above = sum(_probability(n, calls, share) for n in range(hits, calls + 1))
    return min(below, above) > doubt


def _probability(hits: int, calls: int, share: float) -> float:
    return (
        comb(calls, hits) * share**hits * (1 - share) ** (calls - hits)
        if calls < 900
        else _normal(hits, calls, share)
    )


def _normal(hits: int, calls: int, share: float) -> float:
    """For numbers whose powers leave floats: the density of the normal distribution around the mean."""
    variance = calls * share * (1 - share)
    return exp(-((hits - calls * share) ** 2) / (2 * variance)) / sqrt(2 * pi * variance)
