"""Every rule, and one run of them against a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase

from . import (
    rules_binary,
    rules_encoding,
    rules_grpc,
    rules_grpc_refusals,
    rules_grpc_wire,
    rules_http1,
    rules_http1_wrong,
    rules_http2,
    rules_refusals,
    rules_rest,
)
from .probe import Probe, Target
from .rule import Finding, Rule, judge

RULES: tuple[Rule, ...] = (
    *rules_rest.RULES,
    *rules_refusals.RULES,
    *rules_binary.RULES,
    *rules_encoding.RULES,
    *rules_http1.RULES,
    *rules_http1_wrong.RULES,
    *rules_http2.RULES,
    *rules_grpc.RULES,
    *rules_grpc_refusals.RULES,
    *rules_grpc_wire.RULES,
)


def chosen(pattern: str | None) -> list[Rule]:
    """Rules whose id matches, as a shell matches names; a bare word matches what begins with it."""
    if pattern is None:
        return list(RULES)
    return [rule for rule in RULES if fnmatchcase(rule.id, pattern) or rule.id.startswith(f"{pattern}.")]


def run(
    target: Target, rules: Iterable[Rule], told: Callable[[Finding], None] | None = None
) -> list[Finding]:
    return list(_judged(Probe(target), rules, told))


def _judged(probe: Probe, rules: Iterable[Rule], told: Callable[[Finding], None] | None) -> Iterator[Finding]:
    for rule in rules:
        found = judge(rule, probe)
        if told is not None:
            told(found)
        yield found
