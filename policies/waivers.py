"""Waivers against the rules that there are and against a day: which hold, and which have to go."""

from collections.abc import Collection, Iterator, Sequence
from datetime import date

from infra.declarations.document import Document
from infra.declarations.errors import Location, problem, unknown
from infra.declarations.waiver import Waiver
from policies.request import Object

_AT = ("waivers",)


def subject(item: Object) -> str:
    """What a waiver calls an object: `Kind/namespace/name`, `Kind//name` where it is in no namespace."""
    metadata = item["metadata"]
    return f"{item['kind']}/{metadata.get('namespace', '')}/{metadata['name']}"


def waived(waivers: Sequence[Waiver], rule: str, named: str) -> bool:
    return any(one.rule == rule and one.covers(named) for one in waivers)


def refused(
    document: Document, waivers: Sequence[Waiver], rules: Collection[str], today: date
) -> Iterator[str]:
    """Why a waiver does not hold: nobody has such a rule, or its last day is over; `document` has their lines."""
    for index, one in enumerate(waivers):
        if one.rule not in rules:
            yield _problem(document, (*_AT, index, "rule"), unknown(one.rule, sorted(rules), "rule"))
        if one.until < today:
            fix = f"{one.owner} mends {one.object} and removes it, or gives a new day and reason"
            text = f"{one.until} is over on {today}, for {one.rule} of {one.object}; {fix}"
            yield _problem(document, (*_AT, index, "until"), text)


def _problem(document: Document, at: Location, text: str) -> str:
    return problem(document.file, document.line(at), at, text)
