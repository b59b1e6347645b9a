"""Read `params.yaml` strictly: every name known, every value of the declared type."""

from collections.abc import Mapping
from dataclasses import fields
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from trainkit.errors import TrainError
from trainkit.job import read_yaml

LARGEST_SEED = (1 << 32) - 1  # what every generator takes
SECTIONS = ("validate", "train", "evaluate", "export")
VARIANTS = ("advanced", "baseline")
Section = TypeVar("Section")


def read_params(section: str, kind: type[Section], folder: Path = Path()) -> Section:
    """The `section` of params.yaml as `kind`, a dataclass of int, float, bool and str fields."""
    return as_section(all_params(folder), section, kind)


def as_section(params: Mapping[str, Mapping[str, Any]], section: str, kind: type[Section]) -> Section:
    """The same of parameters that were read or sampled already."""
    found = params[section]
    types = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]
    for name in sorted(set(found) - set(types)):
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


def above_zero(section: str, params: object, *names: str) -> None:
    """TrainError that names the first of these fields that is not."""
    for name in names:
        if (value := getattr(params, name)) <= 0:
            raise TrainError(f"params.yaml: {section}.{name} is {value}; write a number above 0")


def known_variant(name: str) -> str:
    """The value of `train.variant`; TrainError unless a job has such a variant."""
    if name not in VARIANTS:
        raise TrainError(f"params.yaml: train.variant is {name!r}; write {' or '.join(VARIANTS)}")
    return name


def flat(params: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """`{"train": {"seed": 7}}` as `{"train.seed": "7"}`."""
    return {
        f"{stage}.{name}": str(value) for stage, values in params.items() for name, value in values.items()
    }


def _typed(section: str, name: str, value: Any, kind: Any) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TrainError(f"params.yaml: {section}.{name} is {value!r}; write a value of type {kind.__name__}")
    if kind is float and not isfinite(value):
        raise TrainError(f"params.yaml: {section}.{name} is {value}; write a number that is finite")
    if name.endswith("seed") and not 0 <= value <= LARGEST_SEED:
        raise TrainError(f"params.yaml: {section}.{name} is {value}; write 0 to {LARGEST_SEED}")
    return value
