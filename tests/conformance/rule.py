"""A rule of the protocol: where it stands, what it says, and the function that looks."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .probe import Probe


class Level(StrEnum):
    """As RFC 2119 has them."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"


class Verdict(StrEnum):
    CONFORMS = "conforms"
    DEPARTS = "departs"
    NOT_OFFERED = "not offered"
    NOT_APPLICABLE = "not applicable"


class Source(NamedTuple):
    url: str
    section: str

    def __str__(self) -> str:
        return f"{self.url} ({self.section})"


Check = Callable[["Probe"], str]


class Rule(NamedTuple):
    """`check` returns what it saw of a server that conforms, and raises one of the three below otherwise."""

    id: str
    level: Level
    source: Source
    statement: str
    check: Check


class Finding(NamedTuple):
    rule: Rule
    verdict: Verdict
    seen: str


class Departs(Exception):
    """The server does something else than the rule says."""


class NotOffered(Exception):
    """The rule is of something that a server may leave out, and this one does."""


class NotApplicable(Exception):
    """The rule cannot be looked at with this model or these options."""


def expect(holds: bool, seen: str) -> None:
    if not holds:
        raise Departs(seen)


def judge(rule: Rule, probe: Probe) -> Finding:
    """Never raises for what a server does: a broken connection is a finding too."""
    try:
        return Finding(rule, Verdict.CONFORMS, rule.check(probe))
    except Departs as departs:
        return Finding(rule, Verdict.DEPARTS, str(departs))
    except NotOffered as reason:
        return Finding(rule, Verdict.NOT_OFFERED, str(reason))
    except NotApplicable as reason:
        return Finding(rule, Verdict.NOT_APPLICABLE, str(reason))
    except TimeoutError:
        return Finding(rule, Verdict.DEPARTS, f"no answer within {probe.target.timeout:g} s")
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        return Finding(rule, Verdict.DEPARTS, f"an answer of another form: {type(error).__name__}: {error}")
    except (OSError, EOFError) as error:
        return Finding(rule, Verdict.DEPARTS, f"the connection broke: {str(error) or type(error).__name__}")
