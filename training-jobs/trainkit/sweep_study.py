"""An Optuna study in SQLite under the job's `work/`: killed at any time, it goes on as if it had not been."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from trainkit.errors import TrainError
from trainkit.job import Job
from trainkit.limits import LARGEST_SEED
from trainkit.params import all_params, flat
from trainkit.sweep_plan import MISSING, Plan

REASON = "reason"  # attribute of a failed trial; one without it was ended by somebody, and does not count
DATABASE = "work/sweep.db"


def open_study(job: Job, plan: Plan) -> Any:
    """The study of this search on these data, parameters and sources; its unfinished trials are given up."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path, name = job.folder / DATABASE, identity(job, plan)
    path.parent.mkdir(exist_ok=True)
    with _database_says_one_line():
        study = optuna.create_study(
            storage=f"sqlite:///{path}",
            study_name=name,
            direction=plan.direction,
            pruner=_pruner(plan),
            load_if_exists=True,
        )
        for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            # Killed in the middle: not counted, so the sampler proposes the same values again.
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


def identity(job: Job, plan: Plan) -> str:
    """12 hex digits of all that a trial's result depends on; bounds and the pruner may change within a study."""
    search = {name: repr(choice) for name, choice in plan.search.items()}
    of = [plan.metric, plan.direction, plan.seed, plan.fixed, search]
    # The searched ones are the trials' own: writing the best into params.yaml leaves the study as it is.
    params = {name: value for name, value in flat(all_params(job.folder)).items() if name not in plan.search}
    text = json.dumps([of, job.digests(), params, _sources(job)], sort_keys=True)
    return sha256(text.encode()).hexdigest()[:12]


def _sources(job: Job) -> dict[str, str]:
    """What a trial reads beside data and parameters, by its path in the job's folder: modules and what conf/ has."""
    paths = [*job.folder.glob("*.py"), *job.folder.glob("conf/**/*.yaml")]
    return {
        path.relative_to(job.folder).as_posix(): path.read_text(encoding="utf-8", errors="surrogateescape")
        for path in sorted(paths)
    }


def next_trial(study: Any, plan: Plan) -> Any:
    """Ask for a trial; the sampler is seeded by how many counted, so a resumed study proposes what it would have."""
    import optuna

    seed = (plan.seed + len(counted(study))) % (LARGEST_SEED + 1)
    study.sampler = optuna.samplers.TPESampler(seed=seed)
    return study.ask()


def counted(study: Any) -> list[Any]:
    """Finished trials, but for those that somebody ended."""
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished() and (trial.state.name != "FAIL" or REASON in trial.user_attrs)
    ]


def spent(study: Any) -> float:
    """Seconds in trials, whatever became of them."""
    durations = (trial.duration for trial in study.get_trials(deepcopy=False) if trial.state.is_finished())
    return float(sum(duration.total_seconds() for duration in durations if duration))


def complete(study: Any) -> list[Any]:
    return [trial for trial in counted(study) if trial.state.name == "COMPLETE"]


def best(study: Any) -> Any:
    """The best complete trial; refuses a study without one, with the first reason of a failure."""
    if complete(study):
        return study.best_trial
    reasons = [trial.user_attrs[REASON] for trial in counted(study) if REASON in trial.user_attrs]
    why = reasons[0] if reasons else "pruned, or ended by max_seconds"
    raise TrainError(f"no trial of the sweep came to its end: {why}")


def finite(value: Any) -> float:
    """An objective's result; refuses what is not a number to compare."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TrainError(f"objective() gave {value!r}; return a finite number")
    return float(value)


def shown(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in values.items()
    )


def _pruner(plan: Plan) -> Any:
    import optuna

    if plan.pruner["kind"] == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(
        n_startup_trials=plan.pruner["startup_trials"], n_warmup_steps=plan.pruner["warmup_steps"]
    )


@contextmanager
def _database_says_one_line() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise TrainError(MISSING) from None
    except Exception as error:
        first = str(error).strip().splitlines()[0]
        raise TrainError(f"{DATABASE} cannot be used ({first}): remove it to start the sweep anew") from None
