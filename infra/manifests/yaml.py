"""Kubernetes objects as the bytes that pulumi-kubernetes' render mode writes (sigs.k8s.io/yaml)."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cmp_to_key, lru_cache
from itertools import takewhile
from typing import Any

from infra.manifests.quoting import WIDTH, folded, quoted, style


def dump(value: Mapping[str, Any]) -> str:
    """One document without `---`: keys in go-yaml's order, lists not indented, lines of about 80 columns."""
    lines: list[str] = []
    _mapping(value, "", "", lines)
    return "\n".join(lines) + "\n" if lines else "{}\n"


def _mapping(value: Mapping[str, Any], first: str, margin: str, lines: list[str]) -> None:
    """Appends the lines of a mapping; the first line begins with `first`, the others with `margin`."""
    lead = first
    for key in in_order(tuple(value)):
        _entry(value[key], f"{lead}{_key(key)}:", margin, lines)
        lead = margin


def _entry(item: Any, head: str, margin: str, lines: list[str]) -> None:
    if isinstance(item, str):
        lines.append(_text(item, head, len(margin) + 2))
    elif isinstance(item, dict):
        lines.append(head if item else f"{head} {{}}")
        _mapping(item, margin + "  ", margin + "  ", lines)
    elif isinstance(item, list):
        lines.append(head if item else f"{head} []")
        _sequence(item, margin + "- ", margin, lines)
    else:
        lines.append(f"{head} {_number(item)}")


def _sequence(items: list[Any], first: str, margin: str, lines: list[str]) -> None:
    lead = first
    for item in items:
        if isinstance(item, dict) and item:
            _mapping(item, lead, margin + "  ", lines)
        elif isinstance(item, list) and item:
            _sequence(item, lead + "- ", margin + "  ", lines)
        else:
            _entry(item, lead[:-1], margin, lines)
        lead = margin + "- "


def _text(text: str, head: str, indent: int) -> str:
    kind = style(text)
    if kind == "plain" and len(head) + len(text) < WIDTH:
        return f"{head} {text}"
    return f"{head} {folded(text, kind, len(head) + 1, indent)}"


@lru_cache(maxsize=8192)
def _key(key: str) -> str:
    kind = style(key)
    return quoted(key, "double" if kind == "literal" else kind)


def _number(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    raise TypeError(
        f"{value!r} is a {type(value).__name__}; write text, a number, a boolean, a list or a mapping"
    )


def _float(value: float) -> str:
    """Go's shortest `%g`: an exponent of at least two digits below 1e-4 and from 1e21."""
    if value == int(value) and abs(value) < 2**53:
        return str(int(value))
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    power = len(digits) - 1 + int(exponent)
    if -4 <= power < 21:
        return f"{Decimal(repr(value)):f}"
    text = "".join(map(str, digits))
    mantissa = text[0] + (f".{text[1:]}" if text[1:] else "")
    return f"{'-' if sign else ''}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"


@lru_cache(maxsize=8192)
def in_order(keys: tuple[str, ...]) -> tuple[str, ...]:
    """go-yaml's order: numbers inside keys by value, letters behind everything else."""
    if all(key.isalpha() and key.isascii() for key in keys):
        return tuple(sorted(keys))
    return tuple(sorted(keys, key=cmp_to_key(_compare)))


def _compare(left: str, right: str) -> int:
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return -1 if _less(left, right, index) else 1
    return len(left) - len(right)


def _less(left: str, right: str, index: int) -> bool:
    a, b = left[index], right[index]
    if a.isalpha() or b.isalpha():
        return a < b if a.isalpha() and b.isalpha() else b.isalpha()
    lead = _significant(left, index) if "0" in (a, b) else ""
    runs = [lead + "".join(_digits(text, index)) for text in (left, right)]
    numbers = [_int64(int(run or "0")) for run in runs]
    if numbers[0] != numbers[1]:
        return numbers[0] < numbers[1]
    return len(runs[0]) < len(runs[1]) if len(runs[0]) != len(runs[1]) else a < b


def _int64(number: int) -> int:
    """Go's arithmetic wraps."""
    return (number + 2**63) % 2**64 - 2**63


def _significant(text: str, index: int) -> str:
    """`1` if the digits before the index hold one that is not 0: then a 0 that follows counts."""
    before = takewhile(str.isdecimal, reversed(text[:index]))
    return "1" if any(digit != "0" for digit in before) else ""


def _digits(text: str, index: int) -> Iterator[str]:
    return takewhile(str.isdecimal, text[index:])
