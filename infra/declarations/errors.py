"""Refusals of declarations: a problem is one line that says where, which value, and how to put it right."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

Key = str | int
Location = tuple[Key, ...]


class DeclarationError(Exception):
    """All problems of a set of declarations; `str()` is one line for each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class MisfitError(ValueError):
    """Two valid fields of one declaration that do not fit; names the field that has to change."""

    def __init__(self, field: Location, message: str) -> None:
        self.field = field
        super().__init__(message)


def problem(file: str, line: int, field: Location, message: str) -> str:
    """`<file>:<line>: <field>: <message>`; the field is left out where the whole file is meant."""
    return ": ".join(part for part in (f"{file}:{line}", dotted(field), message) if part)


def dotted(field: Location) -> str:
    """(`gates`, 0, `metric`) as `gates[0].metric`."""
    text = ""
    for key in field:
        text += f"[{key}]" if isinstance(key, int) else f".{key}"
    return text.removeprefix(".")


def unknown(name: str, known: Sequence[str], what: str = "field") -> str:
    """What to say about a name that nobody declared."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"{name!r} is not a known {what}; did you mean {close[0]!r}?"
    return f"{name!r} is not a known {what}; known: {', '.join(known) or 'none'}"
