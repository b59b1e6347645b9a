"""policies/waivers.yaml: which object need not keep which rule, until when, and who answers for that."""

from datetime import date
from typing import Annotated

from pydantic import BeforeValidator

from infra.declarations.declaration import Declaration, Many
from infra.declarations.scalars import Sentence, Slug, Subject

WAIVERS_FILE = "policies/waivers.yaml"


def _day(value: object) -> object:
    """Dates are text in this YAML."""
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a day; write it like 2027-03-31") from None


Day = Annotated[date, BeforeValidator(_day)]


class Waiver(Declaration):
    """Holds up to and including its last day. `object`: `Kind/namespace/name`, with `*` at the end for a beginning."""

    rule: Slug
    object: Subject
    owner: Slug
    reason: Sentence
    until: Day

    def covers(self, subject: str) -> bool:
        if self.object.endswith("*"):
            return subject.startswith(self.object[:-1])
        return subject == self.object


class Waivers(Declaration):
    waivers: Many[Waiver] = ()
