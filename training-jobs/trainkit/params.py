"""Read `params.yaml` strictly: every name known, every value of the declared type and within its limits."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import inf, isfinite
from pathlib import Path
from typing import Any, TypeVar

from trainkit.errors import TrainError
from trainkit.limits import LARGEST_SEED, Between, Limit, parts
from trainkit.yaml_file import read_yaml

SECTIONS = ("validate", "train", "evaluate", "export")
LARGEST_FLOAT = 1 << 1023
SEED = Between(0, LARGEST_SEED)  # of whatever ends in seed, declared or not
EXPONENT = re.compile(
    r"(?P<digits>[-+]?[0-9][0-9_]*)(?P<rest>\.[0-9_]*)?[eE](?P<sign>[-+]?)(?P<power>[0-9]+)"
)
Section = TypeVar("Section")


def read_params(section: str, kind: type[Section], folder: Path = Path()) -> Section:
    """The `section` of params.yaml as `kind`, a dataclass of int, float, bool and str fields, Annotated with limits."""
    return as_section(all_params(folder), section, kind)


def as_section(params: Mapping[str, Mapping[str, Any]], section: str, kind: type[Section]) -> Section:
    """The same of parameters that were read or sampled already."""
    found = params[section]
    types = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]
    for name in sorted(set(found) - set(types), key=str):
        known = ", ".join(sorted(types))
        raise TrainError(f"params.yaml: {section}.{name} is not a parameter; known: {known}")
    for name in sorted(set(types) - set(found)):
        raise TrainError(f"params.yaml: {section}.{name} is missing; add it")
    return kind(**{name: _typed(section, name, found[name], types[name]) for name in types})


def all_params(folder: Path) -> dict[str, dict[str, Any]]:
    """Every section; one that params.yaml leaves out is empty."""
    found = read_yaml(folder / "params.yaml", "the job has no parameters")
    if not isinstance(found, dict):
        raise TrainError("params.yaml must be a mapping of stages to parameters")
    for name in sorted(set(found) - set(SECTIONS), key=str):
        raise TrainError(f"params.yaml: {name} is not a stage; known: {', '.join(SECTIONS)}")
    for name, values in found.items():
        if not isinstance(values, dict):
            raise TrainError(f"params.yaml: {name} is {values!r}; write parameters under it")
    return {section: found.get(section, {}) for section in SECTIONS}


def flat(params: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """`{"train": {"seed": 7}}` as `{"train.seed": "7"}`."""
    return {
        f"{stage}.{name}": str(value) for stage, values in params.items() for name, value in values.items()
    }


def _typed(section: str, name: str, value: Any, declared: Any) -> Any:
    try:
        return held(name, value, declared)
    except ValueError as error:
        raise TrainError(f"params.yaml: {section}.{name} is {shown(value)}; write {error}") from None


def held(name: str, value: Any, declared: Any) -> Any:
    """The value as the field `name` has it; ValueError says what to write instead."""
    kind, limits = parts(declared)
    if name.endswith("seed"):
        limits = (*limits, SEED)
    return _within(_as(kind, value), limits)


def _as(kind: Any, value: Any) -> Any:
    """The value as `kind`: whole numbers are floats too, booleans are no numbers."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if kind is float and whole:
        value = float(value) if abs(value) < LARGEST_FLOAT else inf
    if kind is float and isinstance(value, str) and (found := EXPONENT.fullmatch(value)):
        # YAML 1.1 has no number without a dot, or without a sign of the exponent: it is a word there.
        raise ValueError(f"{found['digits']}{found['rest'] or '.0'}e{found['sign'] or '+'}{found['power']}")
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"a value of type {kind.__name__}")
    if kind is float and not isfinite(value):
        raise ValueError("a number that is finite")
    return value


def _within(value: Any, limits: Sequence[Limit]) -> Any:
    for limit in limits:
        if not limit.holds(value):
            raise ValueError(limit.told())
    return value


def shown(value: Any) -> str:
    """Cut where somebody wrote a number of a thousand digits."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
