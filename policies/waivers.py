"""Waivers against the rules that there are and against a day: which hold, and which have to go."""

from collections.abc import Collection, Iterator, Sequence
from datetime import date

from infra.declarations.errors import unknown
from infra.declarations.waiver import WAIVERS_FILE, Waiver
from policies.request import Object


def subject(item: Object) -> str:
    """What a waiver calls an object: `Kind/namespace/name`, `Kind//name` where it is in no namespace."""
    metadata = item["metadata"]
    return f"{item['kind']}/{metadata.get('namespace', '')}/{metadata['name']}"


def waived(waivers: Sequence[Waiver], rule: str, named: str) -> bool:
    return any(one.rule == rule and one.covers(named) for one in waivers)


def refused(waivers: Sequence[Waiver], rules: Collection[str], today: date) -> Iterator[str]:
    """Why a waiver does not hold: nobody has such a rule, or its last day is over."""
    for index, one in enumerate(waivers):
        place = f"{WAIVERS_FILE}: waivers[{index}]"
        if one.rule not in rules:
            yield f"{place}.rule: {unknown(one.rule, sorted(rules), 'rule')}"
        if one.until < today:
            fix = f"{one.owner} mends {one.object} and removes it, or gives a new day and reason"
            yield f"{place}.until: {one.until} is over on {today}, for {one.rule} of {one.object}; {fix}"
