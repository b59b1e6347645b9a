"""The values that a searched parameter may take."""

from dataclasses import dataclass
from typing import Any

from trainkit.errors import TrainError
from trainkit.params import shown

LARGEST = 1e15  # in size, of a bound: whole numbers are exact up to here
LARGEST_STEPS = 1_000_000
RANGE = {"low", "high", "log", "step"}
FORMS = "write {low, high}, with log: true or step where wanted, or {choices: [...]}"


@dataclass(frozen=True)
class Choice:
    """Either `choices`, or a range of whole numbers or floats, ends included."""

    choices: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        return not any(isinstance(value, float) for value in (self.low, self.high, self.step))


def read_choice(where: str, value: Any) -> Choice:
    """One parameter under `search` of sweep.yaml."""
    if isinstance(value, dict) and set(value) == {"choices"}:
        return _listed(where, value["choices"])
    if not isinstance(value, dict) or not {"low", "high"} <= set(value) <= RANGE:
        raise TrainError(f"sweep.yaml: {where} is {value!r}; {FORMS}")
    return _range(where, Choice(**value))


def _listed(where: str, choices: Any) -> Choice:
    plain = isinstance(choices, list) and all(isinstance(item, bool | int | float | str) for item in choices)
    if not plain or not choices:
        raise TrainError(
            f"sweep.yaml: {where}.choices is {choices!r}; list numbers, words, or true and false"
        )
    return Choice(choices=tuple(choices))


def _range(where: str, found: Choice) -> Choice:
    bounds = {"low": found.low, "high": found.high, "step": 1 if found.step is None else found.step}
    for name, value in bounds.items():
        _number(f"{where}.{name}", value)
    if not found.low < found.high or bounds["step"] <= 0:
        raise TrainError(
            f"sweep.yaml: {where}: low {found.low} is not below high {found.high}, or step is not above 0"
        )
    if found.high - found.low > LARGEST_STEPS * bounds["step"] and found.step is not None:
        raise TrainError(
            f"sweep.yaml: {where}.step is {found.step}; write {(found.high - found.low) / LARGEST_STEPS:g} or more"
        )
    if not isinstance(found.log, bool) or (found.log and (found.low <= 0 or found.step is not None)):
        raise TrainError(f"sweep.yaml: {where}: log needs a low above 0 and no step")
    return found


def _number(where: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TrainError(f"sweep.yaml: {where} is {value!r}; write a number")
    if not -LARGEST <= value <= LARGEST:
        raise TrainError(f"sweep.yaml: {where} is {shown(value)}; write a number from -1e15 to 1e15")


def suggest(trial: Any, name: str, choice: Choice) -> Any:
    """Ask the trial (Optuna's) for a value of the parameter."""
    if choice.choices:
        return trial.suggest_categorical(name, list(choice.choices))
    if choice.whole:
        return trial.suggest_int(name, choice.low, choice.high, step=choice.step or 1, log=choice.log)
    return trial.suggest_float(name, float(choice.low), float(choice.high), step=choice.step, log=choice.log)


def as_override(name: str, value: Any) -> str:
    """`name=value` in Hydra's grammar."""
    if isinstance(value, bool):
        return f"{name}={str(value).lower()}"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"{name}='{escaped}'"
    return f"{name}={value!r}"
