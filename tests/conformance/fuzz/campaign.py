"""Volleys at a server, one kind after the other, with its memory watched."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..http1 import Address, Connection, head_of
from . import volleys
from .shots import maker

_VOLLEY = {"json": 64, "binary": 64, "grpc": 64, "http1": 32, "http2": 32}
_FIRE: dict[str, Callable[[Address, Sequence[bytes]], volleys.Outcome]] = {
    "json": volleys.pipelined,
    "binary": volleys.pipelined,
    "grpc": volleys.streams,
    "http1": volleys.broken,
    "http2": volleys.broken_frames,
}
_SHOWN = 20  # wrong answers that are kept
_WARM = 0.2  # the part of a campaign after which memory should be flat


class Find(NamedTuple):
    """What to say to make it happen again: --kinds KIND --seed SEED --first NUMBER --requests 1."""

    kind: str
    seed: int
    number: int
    seen: str
    message: bytes


class Report(NamedTuple):
    requests: int
    seconds: float
    answers: dict[str, Counter[str]]
    finds: list[Find]
    grown_kib: int | None

    @property
    def clean(self) -> bool:
        return not self.finds


def campaign(
    address: Address, model: str, kinds: Sequence[str], seed: int, first: int, requests: int, pid: int | None
) -> Report:
    """`requests` of each kind from number `first` on; stops at the first find that kills the server."""
    begin, answers, finds = time.monotonic(), {kind: Counter[str]() for kind in kinds}, list[Find]()
    warm = None
    for start in range(first, first + requests, 64):
        for kind in kinds:
            count = min(64, first + requests - start)
            finds += _volley(address, model, kind, seed, range(start, start + count), answers[kind])
        if warm is None and start - first >= requests * _WARM:
            warm = resident_kib(pid)
        if not _alive(address):
            finds.append(Find("all", seed, start, "the server does not answer any more", b""))
        if len(finds) >= _SHOWN:
            break
    grown = None if warm is None else resident_kib(pid) - warm
    sent = sum(sum(counter.values()) for counter in answers.values())
    return Report(sent, time.monotonic() - begin, answers, finds, grown if pid else None)


def _volley(
    address: Address, model: str, kind: str, seed: int, numbers: range, answers: Counter[str]
) -> list[Find]:
    make = maker(kind, f"/v2/models/{model}/infer", seed)
    finds = []
    for begin in range(numbers.start, numbers.stop, _VOLLEY[kind]):
        messages = [make(number) for number in range(begin, min(begin + _VOLLEY[kind], numbers.stop))]
        try:
            outcome = _FIRE[kind](address, messages)
        except (OSError, ValueError, IndexError) as error:
            finds.append(
                Find(kind, seed, begin, f"in this volley: {type(error).__name__}: {error}", messages[0])
            )
            continue
        answers.update(outcome.answers)
        finds += [Find(kind, seed, begin + w.number, w.seen, messages[w.number]) for w in outcome.wrong]
    return finds


def _alive(address: Address) -> bool:
    try:
        with Connection(address, 5) as connection:
            connection.send(head_of("GET", "/v2/health/ready", [("host", "x")]))
            return connection.reply().status == 200
    except (OSError, EOFError):
        return False


def resident_kib(pid: int | None) -> int:
    """0 without a process to look at."""
    if pid is None:
        return 0
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0
