"""`python -m trainkit sweep JOB_FOLDER`: try values of parameters within bounds, resumable, and name the best."""

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainkit.errors import TrainError
from trainkit.job import Job
from trainkit.pipeline import LOCK_WAIT, alone
from trainkit.sweep_bounds import check_bounds
from trainkit.sweep_patch import write_best, write_params
from trainkit.sweep_plan import Params, Plan, read_plan, trial_params
from trainkit.sweep_record import Record
from trainkit.sweep_space import suggest
from trainkit.sweep_study import REASON, best, complete, counted, finite, next_trial, open_study, shown, spent

if TYPE_CHECKING:
    from mlflow import MlflowClient

Report = Callable[[int, float], None]
Objective = Callable[[Params, Report], float]
Say = Callable[[str], None]


class Pruned(BaseException):
    """The trial is worse than the median; no `except Exception` of an objective keeps it."""


class TimeIsOver(BaseException):
    """`max_seconds` of the study have passed."""


@dataclass(frozen=True)
class Swept:
    """What a sweep found so far; `trial` counts from 1, and counts are of the whole study, all its runs together."""

    study: str
    metric: str
    value: float
    trial: int
    values: Mapping[str, Any]
    complete: int
    pruned: int
    failed: int
    seconds: float
    parent: str | None


def sweep(job: Job, overrides: Sequence[str], client: "MlflowClient | None", say: Say) -> Swept:
    """Run trials until a bound of `sweep.yaml` is reached; the current folder becomes the job's.

    Raises TrainError for a wrong `sweep.yaml`, an objective that does not load or breaks, and no result.
    """
    plan = read_plan(job.folder, overrides)
    middle = {
        name: choice.choices[0] if choice.choices else choice.low for name, choice in plan.search.items()
    }
    params = trial_params(job.folder, plan, middle)  # refuses unknown names before anything runs
    with alone(job.folder, LOCK_WAIT):
        objective = load_objective(job)
        check_bounds(plan, params, vars(sys.modules["objective"]))
        study = open_study(job, plan)
        record = Record(client, job, plan, study)
        with record.running(say):
            while bound(study, plan) is None:
                say(_trial(job, plan, study, objective))
                record.catch_up(say)
            say(f"{job.name} sweep: {bound(study, plan)}")
        return _swept(study, plan, record.parent)


def run_sweep(job: Job, overrides: Sequence[str], write: bool, client: "MlflowClient | None") -> str:
    """The verb: sweep, write `work/best.yaml` (and params.yaml, if `write`); its answer is one line of JSON."""
    found = sweep(job, overrides, client, _say)
    note = f"{found.metric} {found.value:.6g}, trial {found.trial} of study {found.study}; belongs into params.yaml"
    path = write_best(job.folder, found.values, note)
    if write:
        write_params(job.folder, found.values)
    _say(f"{job.name} sweep: best {found.metric} {found.value:.6g}: {shown(found.values)}")
    _say(
        f"{job.name} sweep: {'params.yaml has it' if write else f'{path} has it; --write puts it into params.yaml'}"
    )
    return json.dumps(vars(found), sort_keys=True)


def bound(study: Any, plan: Plan) -> str | None:
    """Why the study takes no more trials, or None."""
    trials, seconds = len(counted(study)), spent(study)
    if trials >= plan.max_trials:
        return f"{trials} trials were tried; max_trials=N takes more"
    if seconds >= plan.max_seconds:
        return f"{seconds:.0f} s were spent on {trials} trials; max_seconds=N takes more"
    return None


def load_objective(job: Job) -> Objective:
    """`objective` of the job's objective.py, which may import the files beside it."""
    if not (job.folder / "objective.py").is_file():
        raise TrainError(
            f"there is no {job.folder / 'objective.py'}: docs/experiments.md says what belongs there"
        )
    os.chdir(job.folder)
    sys.path.insert(0, str(job.folder))
    try:
        found = importlib.import_module("objective").objective
    except TrainError:
        raise
    except Exception as error:
        raise TrainError(f"objective.py cannot be loaded: {_where(error)}") from None
    if not callable(found):
        raise TrainError(
            f"objective.py: objective is {found!r}; write def objective(params, report) -> float"
        )
    return found  # type: ignore[no-any-return]


def _trial(job: Job, plan: Plan, study: Any, objective: Objective) -> str:
    """One trial and the line about it."""
    trial = next_trial(study, plan)
    values = {name: suggest(trial, name, choice) for name, choice in plan.search.items()}
    until = time.monotonic() + plan.max_seconds - spent(study)
    try:
        value = finite(objective(trial_params(job.folder, plan, values), _reporting(trial, until)))
    except Pruned:
        study.tell(trial, state=_state("PRUNED"))
        return _line(job, plan, study, "pruned", values)
    except TrainError as error:
        _failed(study, trial, str(error))
        return _line(job, plan, study, f"failed: {error}", values)
    except TimeIsOver:
        study.tell(trial, state=_state("FAIL"))
        return f"{job.name} sweep: the time is over, this trial does not count"
    except Exception as error:
        _failed(study, trial, _where(error))
        raise TrainError(f"the objective broke with {shown(values)}: {_where(error)}") from error
    except BaseException:
        study.tell(trial, state=_state("FAIL"))
        raise
    study.tell(trial, value)
    return _line(job, plan, study, f"{plan.metric} {value:.6g}", values)


def _reporting(trial: Any, until: float) -> Report:
    def report(step: int, value: float) -> None:
        trial.report(finite(value), step)
        if time.monotonic() > until:
            raise TimeIsOver
        if trial.should_prune():
            raise Pruned

    return report


def _failed(study: Any, trial: Any, reason: str) -> None:
    trial.set_user_attr(REASON, reason)
    study.tell(trial, state=_state("FAIL"))


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def _line(job: Job, plan: Plan, study: Any, became: str, values: Mapping[str, Any]) -> str:
    done = complete(study)
    so_far = f" (best {study.best_value:.6g})" if done else ""
    return f"{job.name} sweep: trial {len(counted(study))} of {plan.max_trials}: {became}{so_far}; {shown(values)}"


def _where(error: BaseException) -> str:
    """The error with the line of the job's own code that raised it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    said = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {said[0]} ({os.path.basename(frame.filename)}:{frame.lineno})"  # noqa: PTH119


def _swept(study: Any, plan: Plan, parent: str | None) -> Swept:
    found, trials = best(study), counted(study)
    states = [trial.state.name for trial in trials]
    return Swept(
        study=study.study_name,
        metric=plan.metric,
        value=float(found.value),
        trial=[trial.number for trial in trials].index(found.number) + 1,
        values={name: found.params[name] for name in plan.search},
        complete=states.count("COMPLETE"),
        pruned=states.count("PRUNED"),
        failed=states.count("FAIL"),
        seconds=round(spent(study), 1),
        parent=parent,
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - what the person watches
