"""Read `sweep.yaml` by Hydra: what is searched, towards what, and within which bounds."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainkit.errors import TrainError
from trainkit.limits import LARGEST_SEED
from trainkit.params import shown
from trainkit.sweep_space import Choice, as_override, read_choice

FIELDS = {
    "metric": None,
    "direction": None,
    "max_trials": None,
    "max_seconds": None,
    "seed": None,
    "search": None,
    "pruner": {"kind": "median"},
    "stage": "validate",
    "fixed": {},
}
PRUNER = {"kind": "median", "startup_trials": 5, "warmup_steps": 0}
MOST = 1_000_000_000  # trials, or seconds
MISSING = "sweeps need the packages of group fleet: make .venv/fleet.stamp"

Params = Mapping[str, Mapping[str, Any]]  # section of params.yaml -> name -> value


@dataclass(frozen=True)
class Plan:
    """`max_seconds` and `max_trials` bound the whole study; `search` is in the order of `sweep.yaml`."""

    metric: str
    direction: str
    max_trials: int
    max_seconds: float
    seed: int
    stage: str
    pruner: Mapping[str, Any]
    fixed: Mapping[str, Mapping[str, Any]]
    search: Mapping[str, Choice]


def read_plan(folder: Path, overrides: Sequence[str] = ()) -> Plan:
    """`sweep.yaml` with what the command line changes (Hydra's grammar: `max_trials=40`)."""
    if not (folder / "sweep.yaml").is_file():
        raise TrainError(f"there is no {folder / 'sweep.yaml'}: docs/experiments.md says what belongs there")
    found = composed(folder, "sweep", overrides)
    for name in found:
        if name not in FIELDS:
            raise TrainError(f"sweep.yaml: {name} is not a field; known: {', '.join(FIELDS)}")
    for name, default in FIELDS.items():
        if found.setdefault(name, default) is None:
            raise TrainError(f"sweep.yaml: {name} is missing; add it")
    search = dict(_searched(_sections(found["search"], "search")))
    if not search:
        raise TrainError("sweep.yaml: search is empty; give it at least one parameter")
    return Plan(
        metric=_text(found["metric"], "metric"),
        direction=_one_of(found["direction"], "direction", ("minimize", "maximize")),
        max_trials=_whole(found["max_trials"], "max_trials", 1, MOST),
        max_seconds=_whole(found["max_seconds"], "max_seconds", 1, MOST),
        seed=_whole(found["seed"], "seed", 0, LARGEST_SEED),
        stage=_text(found["stage"], "stage"),
        pruner=_pruner(found["pruner"]),
        fixed=_sections(found["fixed"], "fixed"),
        search=search,
    )


def trial_params(folder: Path, plan: Plan, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """params.yaml with `fixed` and a trial's `values` (`train.seed` -> 7) in it; refuses names it does not have."""
    fixed = {f"{section}.{name}": value for section, of in plan.fixed.items() for name, value in of.items()}
    changes = [as_override(name, value) for name, value in {**fixed, **values}.items()]
    return composed(folder, "params", changes)


def composed(folder: Path, name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """`folder`/`name`.yaml through Hydra's compose: overrides of what is there, interpolations resolved."""
    with _hydra_says_one_line(f"{name}.yaml"):
        from hydra import compose, initialize_config_dir
        from omegaconf import OmegaConf

        with initialize_config_dir(version_base="1.3", config_dir=str(folder.resolve())):
            config = compose(config_name=name, overrides=list(overrides))
        return {str(key): value for key, value in OmegaConf.to_container(config, resolve=True).items()}


@contextmanager
def _hydra_says_one_line(where: str) -> Iterator[None]:
    logging.getLogger("hydra").setLevel(logging.ERROR)
    try:
        yield
    except ImportError:
        raise TrainError(MISSING) from None
    except Exception as error:
        # Hydra wraps what OmegaConf says; both are long, and the first line has the name.
        cause = error.__cause__ or error
        lines = [line.strip() for line in f"{error}\n{cause}".splitlines() if line.strip()]
        raise TrainError(f"{where}: {'; '.join(dict.fromkeys(lines[:2]))}") from None


def _searched(search: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Choice]]:
    for section, names in search.items():
        for name, choice in names.items():
            yield f"{section}.{name}", read_choice(f"search.{section}.{name}", choice)


def _sections(value: Any, field: str) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(value, dict) or not all(isinstance(names, dict) for names in value.values()):
        raise TrainError(
            f"sweep.yaml: {field} is {value!r}; nest it as params.yaml is: section, name, values"
        )
    return value


def _pruner(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) - set(PRUNER):
        raise TrainError(f"sweep.yaml: pruner is {value!r}; it has {', '.join(PRUNER)}")
    found = {**PRUNER, **value}
    _one_of(found["kind"], "pruner.kind", ("median", "none"))
    for name in ("startup_trials", "warmup_steps"):
        _whole(found[name], f"pruner.{name}", 0, MOST)
    return found


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str) or not value:
        raise TrainError(f"sweep.yaml: {field} is {value!r}; write a name")
    return value


def _one_of(value: Any, field: str, known: Sequence[str]) -> str:
    if value not in known:
        raise TrainError(f"sweep.yaml: {field} is {value!r}; write {' or '.join(known)}")
    return str(value)


def _whole(value: Any, field: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise TrainError(
            f"sweep.yaml: {field} is {shown(value)}; write a whole number from {least} to {most}"
        )
    return value
