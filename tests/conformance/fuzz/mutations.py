"""Bytes and JSON values, changed at random."""

from __future__ import annotations

import copy
from collections.abc import Callable
from random import Random
from typing import Any

_INTERESTING = (
    b"\x00", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"-1", b"0", b"9" * 25, b"1e999", b"NaN", b"{", b"]", b'"',
    b"\\u0000", b"\xc3\x28", b"\xed\xa0\x80", b"null", b"true", b"\r\n", b":", b",", b" ",
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**30, 0.5, 1e308, "", "x", "\u0000", "\U0001f600" * 3,
    "FP32", "BYTES", "BF16", [], [[]], [None], {}, {"a": {}}, [2**62, 2**62], [0], [-1], [1] * 64, "A" * 5000,
    {"binary_data_size": 2**40}, {"binary_data_size": -1}, {"binary_data": True}, {"binary_data_output": True},
    [[[[[[[[1]]]]]]]], "features", "no-such", ["features"],
)  # fmt: skip


def mutated(rng: Random, content: bytes, times: int) -> bytes:
    text = bytearray(content)
    for _ in range(times):
        rng.choice(_CHANGES)(rng, text)
    return bytes(text)


def _place(rng: Random, text: bytearray) -> int:
    return int(rng.random() * (len(text) + 1))


def _flip(rng: Random, text: bytearray) -> None:
    if text:
        text[int(rng.random() * len(text))] ^= 1 << int(rng.random() * 8)


def _replace(rng: Random, text: bytearray) -> None:
    if text:
        text[int(rng.random() * len(text))] = int(rng.random() * 256)


def _insert(rng: Random, text: bytearray) -> None:
    at = _place(rng, text)
    text[at:at] = rng.choice(_INTERESTING)


def _delete(rng: Random, text: bytearray) -> None:
    at = _place(rng, text)
    del text[at : at + 1 + int(rng.random() * 8)]


def _cut(rng: Random, text: bytearray) -> None:
    del text[_place(rng, text) :]


def _repeat(rng: Random, text: bytearray) -> None:
    at = _place(rng, text)
    text[at:at] = text[at : at + 1 + int(rng.random() * 32)] * (1 + int(rng.random() * 4))


def _swap(rng: Random, text: bytearray) -> None:
    one, other = _place(rng, text), _place(rng, text)
    size = int(rng.random() * 8)
    text[one : one + size], text[other : other + size] = text[other : other + size], text[one : one + size]


_CHANGES: tuple[Callable[[Random, bytearray], None], ...] = (_flip, _flip, _replace, _insert, _insert, _delete, _cut,
                                                              _repeat, _swap)  # fmt: skip


def rewritten(rng: Random, value: Any, times: int) -> Any:
    """The value of JSON with some of its parts exchanged, dropped, doubled or renamed."""
    holder = [copy.deepcopy(value)]
    for _ in range(times):
        _rewrite(rng, *_somewhere(rng, holder))
    return holder[0] if holder else None


def _somewhere(rng: Random, holder: Any) -> tuple[Any, Any]:
    """A container and a key of it, each level as likely as the next."""
    key: Any = 0
    while holder:
        key = rng.choice(list(holder)) if isinstance(holder, dict) else int(rng.random() * len(holder))
        below = holder[key]
        if not isinstance(below, dict | list) or not below or rng.random() < 0.15:
            break
        holder = below
    return holder, key


def _rewrite(rng: Random, holder: Any, key: Any) -> None:
    if not holder:
        return
    kind = rng.random()
    if kind < 0.6:
        holder[key] = copy.deepcopy(rng.choice(_VALUES))
    elif kind < 0.75:
        del holder[key]
    elif isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    else:
        holder[str(rng.choice(_VALUES))[:50]] = copy.deepcopy(holder[key])
