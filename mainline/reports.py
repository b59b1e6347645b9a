"""How results are shown: a table for people, the same facts as JSON for machines."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mainline import console
from mainline.asked import Served
from mainline.check import Checked
from mainline.compare import Comparison
from mainline.delivery import Delivered
from mainline.promote import Promotion
from mainline.rendering import Rendered
from mainline.train import Trained
from mainline.verify import Verdict
from policies.gates import Finding

_WIDE, _WARNINGS = 140, 5
_RUNNING = {True: "runs", False: "is off", None: "not asked"}


def show_served(served: Sequence[Served]) -> None:
    """The closing table; on a narrow terminal the address is said once, above it."""
    facts = [(row.model, row.version, row.digest[7:15], row.commit[:8]) for row in served]
    answers = [(row.answer, f"{row.p95_ms:.1f} ms") for row in served]
    if console.width() >= _WIDE:
        rows = [(*known, row.address, *said) for known, row, said in zip(facts, served, answers, strict=True)]
        console.table(("model", "ver", "digest", "commit", "address", "answer", "p95"), rows)
        return
    console.say(f"each at {served[0].address.rpartition('/')[0]}/<model>")
    short = [(*known, *said) for known, said in zip(facts, answers, strict=True)]
    console.table(("model", "ver", "digest", "commit", "answer", "p95"), short)


def show_fleet(served: Sequence[Served]) -> None:
    """The closing table of all jobs: what was measured against the bars, and how fast it answers here."""
    rows = [
        (row.model, row.version, row.digest[7:15], ", ".join(map(str, row.bars)), f"{row.p95_ms:.1f} ms")
        for row in served
    ]
    console.say(f"each at {served[0].address.rpartition('/')[0]}/<model>")
    console.table(("model", "ver", "digest", "metric against its bar", "p95"), rows)


def show_trained(made: Trained) -> None:
    known = "" if made.new else " (the registry had these bytes already)"
    console.say(f"{made.model} version {made.version}, {made.digest}{known}")
    rows = [(name, f"{value:.6g}") for name, value in sorted(made.metrics.items())]
    console.table(("metric", "value"), rows)


def show_comparison(found: Comparison) -> None:
    before, after = (f"version {side.version}" for side in (found.before, found.after))
    console.say(f"{found.model}: {before} {found.before.digest[7:15]}, {after} {found.after.digest[7:15]}")
    for kind, rows in (("parameter", found.params()), ("metric", found.metrics())):
        console.table((kind, before, after, "change"), [(r.name, r.before, r.after, r.change) for r in rows])
    if not any(row.change for row in (*found.params(), *found.metrics())):
        console.say("nothing differs")


def show_findings(findings: Sequence[Finding]) -> None:
    rows = [("pass" if finding.passed else "FAIL", finding.check, finding.reason) for finding in findings]
    console.table(("gate", "check", "reason"), rows)


def promotion_as_dict(made: Promotion) -> dict[str, Any]:
    return {
        "model": made.model,
        "environment": made.env,
        "version": made.version.version,
        "digest": made.version.digest,
        "mode": str(made.mode),
        "findings": [asdict(finding) for finding in made.findings],
        "commit": made.delivered.commit if made.delivered else None,
        "restored": made.restored,
        "branch": made.delivered.branch if made.delivered else None,
    }


def show_promotion(made: Promotion, agent_off: bool) -> None:
    if made.delivered is None:
        done = "its bytes were put back into the store" if made.restored else "nothing to do"
        console.say(f"{made.model} version {made.version.version} serves in {made.env} already; {done}")
        return
    show_findings(made.findings)
    _show(made.delivered, agent_off)


def show_delivered(made: Delivered | None, nothing: str, as_json: bool, agent_off: bool) -> None:
    if as_json:
        console.say(json.dumps(asdict(made) if made else None, indent=2, sort_keys=True))
    elif made is None:
        console.say(f"{nothing}; nothing to do")
    else:
        _show(made, agent_off)


def _show(made: Delivered, agent_off: bool) -> None:
    console.say(f"{made.commit[:8]} on {made.branch}: {made.subject}")
    if made.branch != "main":
        console.say(f"pushed to origin; open a pull request from {made.branch}")
    elif agent_off:
        console.say("the agent is off, so nothing changes until make up starts it")


def show_rendered(found: Sequence[Rendered], check: bool, as_json: bool) -> None:
    if as_json:
        console.say(json.dumps([asdict(one) for one in found], indent=2, sort_keys=True))
        return
    for one in found:
        for difference in one.differences:
            console.say(f"{difference.kind:<9} {difference.path}")
        changed = len(one.differences)
        word = "differ" if check else "written or removed"
        console.say(f"{one.env}: {one.files} files, {changed} {word}")


def show_checked(found: Sequence[Checked]) -> None:
    for one in found:
        for violation in one.violations:
            console.say(f"{violation.object}: {violation.rule}: {violation.message}")
        console.say(f"{one.env}: {one.objects} objects, {one.rules} rules, {len(one.violations)} refused")


def show_status(found: dict[str, Any]) -> None:
    synced, head = (found["synced"] or "none")[:8], found["head"][:8]
    console.say(
        f"environment  {found['environment']}" + (f" at {found['address']}" if found["address"] else "")
    )
    console.say(
        f"commit       {head}" + ("" if synced == head or not found["asked"] else f", synced is {synced}")
    )
    if found["processes"]:
        states = [f"{name} {'runs' if on else 'is off'}" for name, on in found["processes"].items()]
        console.say(f"processes    {', '.join(states)}")
    rows = [
        (r["model"], r["role"], r["version"], r["digest"][7:15], _traffic(r), _server(r),
         r["health"], (r["commit"] or "")[:8])
        for r in found["models"]
    ]  # fmt: skip
    console.table(("model", "role", "ver", "digest", "traffic", "server", "health", "commit"), rows)
    for line in _remarks(found, head, synced):
        console.say(f"! {line}")


def _server(row: dict[str, Any]) -> str:
    """Of a cluster also how many of its pods are ready."""
    return _RUNNING[row["running"]] + (f" {row['pods']}" if row["pods"] else "")


def _traffic(row: dict[str, Any]) -> str:
    declared, live = row["traffic"], row["live_traffic"]
    return str(declared) if live in (None, declared) else f"{live}, Git says {declared}"


def _remarks(found: dict[str, Any], head: str, synced: str) -> list[str]:
    off = [f"the {name} is off; make up starts it" for name in found["off"]]
    refused = str(found["error"]).splitlines() if found["error"] else []
    first = f"{head} is refused, {synced} goes on: " if found["processes"] else ""
    said = [first + refused[0], *refused[1:]] if refused else []
    warnings = found["warnings"]
    more = (
        [f"and {len(warnings) - _WARNINGS} more warnings (--json has all)"]
        if len(warnings) > _WARNINGS
        else []
    )
    reasons = {row["model"]: row["reason"] for row in found["models"] if row["reason"]}
    return [*off, *said, *(f"{model}: {why}" for model, why in reasons.items()), *warnings[:_WARNINGS], *more]


def show_verdicts(found: Sequence[Verdict]) -> None:
    rows = [(v.model, v.role, v.version, v.digest[7:15], v.rendered, v.store, v.live) for v in found]
    console.table(("model", "role", "ver", "digest", "rendered", "store", "live"), rows)
    for verdict in found:
        if verdict.note:
            console.say(f"! {verdict.model} {verdict.role}: {verdict.note}")
    differing = [verdict.model for verdict in found if not verdict.agrees]
    console.say(f"differs: {', '.join(differing)}" if differing else f"{len(found)} of {len(found)} agree")
