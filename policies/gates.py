"""Promotion gates: may this version replace the one that serves? Pure: evidence in, findings out."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from infra.declarations.model import Gate, ServedModel

Evidence = Mapping[str, float]
_MIB = 1 << 20
LAMBDA_BYTES = 50 * _MIB


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw, and why it passed or not."""

    check: str
    passed: bool
    reason: str


def examine(gates: Iterable[Gate], evidence: Evidence, serving: Evidence | None) -> list[Finding]:
    """Every finding of every gate, so that one review shows every reason.

    `serving` is the evidence of the version that serves now, None before the first release.
    A model without gates has no findings, and `passed` refuses that.
    """
    findings = []
    for gate in gates:
        measured = evidence.get(gate.metric)
        if measured is None or math.isnan(measured):
            findings.append(Finding(gate.metric, False, f"{gate.metric} was not measured"))
            continue
        findings.append(_bar(gate, measured))
        if serving is not None:
            findings.append(_not_worse(gate, measured, serving.get(gate.metric)))
    return findings


def fits(model: ServedModel, sizes: Mapping[str, int]) -> list[Finding]:
    """Whether Lambda can start the model in time: every cold start brings and loads these bytes. Empty for others.

    `sizes`: file of the artifact -> its bytes.
    """
    if model.target != "lambda":
        return []
    total = sum(sizes.values())
    reason = f"the artifact has {total / _MIB:.1f} MiB, and `target: lambda` takes {LAMBDA_BYTES // _MIB}"
    return [Finding("size", total < LAMBDA_BYTES, reason)]


def passed(findings: Iterable[Finding]) -> bool:
    """No finding means no: a model without gates is never promoted."""
    found = list(findings)
    return bool(found) and all(finding.passed for finding in found)


def _bar(gate: Gate, measured: float) -> Finding:
    if gate.at_least is not None:
        reason = f"{gate.metric} is {measured:.6g}, the bar is at least {gate.at_least:g}"
        return Finding(gate.metric, measured >= gate.at_least, reason)
    reason = f"{gate.metric} is {measured:.6g}, the bar is at most {gate.at_most:g}"
    return Finding(gate.metric, gate.at_most is not None and measured <= gate.at_most, reason)


def _not_worse(gate: Gate, measured: float, serving: float | None) -> Finding:
    check = f"{gate.metric} against what serves"
    if serving is None:
        return Finding(check, True, f"what serves has no {gate.metric} to compare with")
    loss = serving - measured if gate.at_least is not None else measured - serving
    allowed = f", {gate.tolerance:g} worse is allowed" if gate.tolerance else ""
    # 1e-12 is far below what any metric resolves; it absorbs the rounding of the subtraction.
    return Finding(check, loss <= gate.tolerance + 1e-12, f"{measured:.6g} against {serving:.6g}{allowed}")
