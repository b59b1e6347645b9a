"""What all connections of one server share: the application, the limits, what is held, and the clock of the sweep."""

import json
import logging
import time
from asyncio import Future, get_running_loop
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING

from v2serve.wire.exchange import Answer, Application, Request, WireLimits

if TYPE_CHECKING:
    from v2serve.wire.connection import Connection

SMALL = 64 << 10  # bodies and answers up to here have a reserve of their own
_RESERVE = 8 << 20  # beyond `held_bytes`, for all that is small together
FREE = 16 << 10  # of one connection: taken whatever is held, so that a health probe is answered
# Bytes that nobody wants are read up to here: a caller who is still sending when the connection closes
# loses the answer.
DISCARD = 64 << 20
# Answered together; more wait for the next turn, so that the answers of these are on their way meanwhile.
_TOGETHER = 64
INTERNAL = "internal error; the server's log says more"
FULL = "the server holds as many bodies and answers as it may; ask again in a second"
_CODINGS = frozenset(
    ("content-encoding", "grpc-encoding")
)  # small on the wire, and nobody knows how large within

Deliver = Callable[["Answer | Future[Answer]"], None]
Waiting = tuple[Request, "Connection", Deliver]

log = logging.getLogger("v2serve")


def _unheeded() -> None:
    """Nobody waits for room."""


class Hub:
    """`now` is time.perf_counter() at the last sweep: late by one `period` at most, and free to read."""

    def __init__(self, application: Application, limits: WireLimits) -> None:
        self.application = application
        self.limits = limits
        self.members: set[Connection] = set()
        # Bytes that are being received, wait for their answer, or are answers that no caller has taken yet.
        self.held = 0
        self.held_bytes = limits.held_bytes
        self.draining = False
        self.farewells = 0  # so many HTTP/1 answers will yet end their connections
        self.left: Callable[[], None] = _unheeded  # a connection is gone
        self.period = min(1.0, limits.read_seconds / 8)
        self.patience = limits.read_seconds + self.period
        self.linger = min(limits.read_seconds, 5.0)  # for a caller to notice the end of its connection
        self.now = time.perf_counter()
        self.date = formatdate(usegmt=True).encode()
        self._asked: list[Waiting] = []
        self._withdrawn: set[Request] = set()  # of these; their callers have left
        self._arrived: list[Connection] = []
        self._turning = False
        self._delivering = False
        self._told: list[tuple[Request, Answer | None]] = []
        self.afterwards: list[Callable[[], None]] = []  # once the answers of this turn are delivered

    def tick(self) -> None:
        """Look at every connection once."""
        self.now = time.perf_counter()
        self.date = formatdate(usegmt=True).encode()
        for member in tuple(self.members):
            member.sweep(self.now)

    def admit(self, request: Request) -> Answer | None:
        try:
            return self.application.admit(request)
        except Exception:
            return self._failed(request)

    def arrive(self, member: "Connection") -> None:
        """Have the bytes that arrived there looked at with all others of this turn of the loop."""
        self._take_a_turn()
        self._arrived.append(member)

    def ask(self, request: Request, member: "Connection", deliver: Deliver) -> None:
        """Have this request answered with all others of this turn of the loop.

        Reading, parsing, decoding, running, encoding and writing one request after the other takes two to four times
        as long as each of these for all requests in turn, for the code of a step is in the processor's caches then.
        """
        self._take_a_turn()
        self._asked.append((request, member, deliver))

    def withdraw(self, request: Request) -> None:
        """The caller has left before the turn of this request: the application never hears of it."""
        self._withdrawn.add(request)

    def crowded(self, request: Request | None, size: int, of_connection: int) -> bool:
        """Whether a body of `size` is too much now; its connection holds so many bytes in all, these among them."""
        over = self.held - self.held_bytes
        if over <= 0:
            return False
        coded = request is not None and not _CODINGS.isdisjoint(request.headers)
        return size > SMALL or (coded and size > 0) or (over > _RESERVE and of_connection > FREE)

    def instead(self, request: Request | None, answer: Answer) -> Answer:
        """A refusal in place of a large answer where no more may be held, should its caller not take it at once."""
        return self.full(request) if self.held > self.held_bytes and len(answer.body) > SMALL else answer

    def _take_a_turn(self) -> None:
        if not (self._asked or self._arrived or self._turning):
            get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turning = True
        arrived, self._arrived = self._arrived[:_TOGETHER], self._arrived[_TOGETHER:]
        for member in arrived:
            try:
                member.take_arrived()
            except Exception:
                self._broken(member)
        asked, self._asked = self._asked[:_TOGETHER], self._asked[_TOGETHER:]
        if self._withdrawn:
            asked = [one for one in asked if one[0] not in self._withdrawn]
            self._withdrawn.intersection_update([one[0] for one in self._asked])
        if asked:
            self._answer(asked)
        self._turning = False
        if self._asked or self._arrived:
            get_running_loop().call_soon(self._turn)

    def _broken(self, member: "Connection") -> None:
        """A defect of ours costs one caller its connection, and nobody else anything."""
        log.exception("the wire failed")
        member.transport.abort()

    def _answer(self, asked: list[Waiting]) -> None:
        requests = [request for request, _, _ in asked]
        try:
            answers = self.application.answers(requests)
        except Exception:
            log.exception("%d requests failed", len(requests))
            answers = [self.refuse(request, 500, INTERNAL) for request in requests]
        self._delivering = True
        for (_, member, deliver), made in zip(asked, answers, strict=True):
            try:
                deliver(made)
            except Exception:
                self._broken(member)
        self._delivering = False
        while self.afterwards:
            self.afterwards.pop()()
        told, self._told = self._told, []
        for request, answer in told:
            self.answered(request, answer)

    def outcome(self, request: Request, future: "Future[Answer]") -> Answer:
        """The answer of a future that is done."""
        if future.cancelled():
            return self.refuse(request, 503, "the request was cancelled; ask again")
        problem = future.exception()
        if problem is None:
            return future.result()
        log.error("%s %s failed", request.method, request.path, exc_info=problem)
        return self.refuse(request, 500, INTERNAL)

    def refuse(self, request: Request | None, status: int, message: str) -> Answer:
        try:
            return self.application.refuse(request, status, message)
        except Exception:
            log.exception("no words for a refusal")
            body = json.dumps({"error": message}).encode()
            return Answer(status, (("content-type", "application/json"),), body)

    def full(self, request: Request | None) -> Answer:
        refusal = self.refuse(request, 503, FULL)
        others = tuple(pair for pair in refusal.headers if pair[0] != "retry-after")
        return refusal._replace(headers=(*others, ("retry-after", "1")))

    def answered(self, request: Request, answer: Answer | None) -> None:
        if self._delivering:
            self._told.append((request, answer))
            return
        try:
            self.application.answered(request, answer)
        except Exception:
            log.exception("%s %s was answered, but not noted", request.method, request.path)

    def _failed(self, request: Request) -> Answer:
        log.exception("%s %s failed", request.method, request.path)
        return self.refuse(request, 500, INTERNAL)
