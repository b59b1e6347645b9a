"""Hold what `sweep.yaml` may try to the limits of the parameters, before the first trial."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from trainkit.errors import TrainError
from trainkit.limits import parts
from trainkit.params import held, shown
from trainkit.sweep_plan import Params, Plan

PLAIN = (int, float, bool, str)  # what as_section reads


def check_bounds(plan: Plan, params: Params, names: Mapping[str, Any]) -> None:
    """`names` are those of the module that has the objective: among them, the dataclass that it reads a section as.

    That is the one with the section's own names; a section that is read in another way has no limits to hold to.
    """
    kinds = {section: _kind(set(of), names) for section, of in params.items()}
    for where, section, name, value in _tried(plan):
        if name not in (declared := kinds.get(section, {})):
            continue
        try:
            held(name, value, declared[name])
        except ValueError as error:
            raise TrainError(f"sweep.yaml: {where} is {shown(value)}; write {error}") from None


def _kind(parameters: set[str], names: Mapping[str, Any]) -> dict[str, Any]:
    """The declared type of each parameter; empty if none is declared."""
    for found in names.values():
        if isinstance(found, type) and is_dataclass(found):
            types = {field.name: field.type for field in fields(found)}
            if types.keys() == parameters:
                return {name: kind for name, kind in types.items() if parts(kind)[0] in PLAIN}
    return {}


def _tried(plan: Plan) -> Iterator[tuple[str, str, str, Any]]:
    """Where it is in `sweep.yaml`, section, name, value: limits are ranges, so the ends of a range are enough."""
    for section, of in plan.fixed.items():
        for name, value in of.items():
            yield f"fixed.{section}.{name}", section, name, value
    for path, choice in plan.search.items():
        section, _, name = path.partition(".")
        for value in choice.choices:
            yield f"search.{path}.choices", section, name, value
        if not choice.choices:
            yield f"search.{path}.low", section, name, choice.low if choice.whole else float(choice.low)
            yield f"search.{path}.high", section, name, choice.high if choice.whole else float(choice.high)
