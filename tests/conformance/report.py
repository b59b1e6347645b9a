"""Findings as a table for people and as JSON for machines."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

from .rule import Finding, Level, Rule, Verdict

_COLOURS = {
    Verdict.CONFORMS: "32",
    Verdict.DEPARTS: "31",
    Verdict.NOT_OFFERED: "33",
    Verdict.NOT_APPLICABLE: "2",
}


def as_json(findings: Sequence[Finding]) -> str:
    rows = [{**described(found.rule), "verdict": found.verdict, "seen": found.seen} for found in findings]
    return json.dumps({"summary": dict(count(findings)), "passes": passes(findings), "rules": rows}, indent=2)


def described(rule: Rule) -> dict[str, str]:
    return {
        "id": rule.id,
        "level": rule.level,
        "statement": rule.statement,
        "source": rule.source.url,
        "section": rule.source.section,
    }


def passes(findings: Iterable[Finding]) -> bool:
    """No MUST departs."""
    return not any(f.verdict is Verdict.DEPARTS and f.rule.level is Level.MUST for f in findings)


def count(findings: Iterable[Finding]) -> Counter[str]:
    return Counter(str(found.verdict) for found in findings)


def as_table(findings: Sequence[Finding]) -> str:
    """One line a rule, cut at the width of the terminal; below it what departs, with source and all that was seen."""
    width = shutil.get_terminal_size((110, 24)).columns if sys.stdout.isatty() else 150
    name = max((len(found.rule.id) for found in findings), default=4)
    lines = [_line(found, name, width) for found in findings]
    departed = [found for found in findings if found.verdict is Verdict.DEPARTS]
    return "\n".join([*lines, "", *map(_explained, departed), summary(findings)])


def as_markdown(findings: Iterable[Finding]) -> str:
    """What departs, as a table of a document."""
    rows = [
        f"| `{found.rule.id}` | {found.rule.level} | {found.rule.statement} | {_cell(found.seen)} |"
        for found in findings
        if found.verdict is Verdict.DEPARTS
    ]
    return "\n".join(["| rule | level | what it says | what was seen |", "|---|---|---|---|", *rows])


def as_list(rules: Iterable[Rule]) -> str:
    return "\n".join(
        f"{rule.level:6} {rule.id}\n       {rule.statement}\n       {rule.source}" for rule in rules
    )


def summary(findings: Sequence[Finding]) -> str:
    told = count(findings)
    must = sum(f.verdict is Verdict.DEPARTS and f.rule.level is Level.MUST for f in findings)
    parts = ", ".join(f"{told[verdict]} {verdict}" for verdict in Verdict)
    return f"{len(findings)} rules: {parts}; {must} of the departures are from a MUST"


def _line(found: Finding, name: int, width: int) -> str:
    text = f"{found.rule.id:{name}} {found.rule.level:6} {found.verdict:14} {_one_line(found.seen)}"
    text = text if len(text) <= width else text[: width - 1] + "…"
    return _coloured(text, found.verdict)


def _coloured(text: str, verdict: Verdict) -> str:
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\x1b[{_COLOURS[verdict]}m{text}\x1b[0m"


def _explained(found: Finding) -> str:
    rule = found.rule
    return f"{rule.id}: {rule.level} {rule.statement}\n  seen: {_one_line(found.seen)}\n  source: {rule.source}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    cut = _one_line(text)
    cut = cut if len(cut) <= 110 else cut[:109] + "…"
    return "`" + cut.replace("|", "\\|").replace("`", "'") + "`"
