"""Every number of every job's params.yaml has limits, which are said when they are broken."""

import importlib
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import yaml

from tests.jobs.job_modules import modules_of
from tests.jobs.test_pipelines import JOBS, NAMES
from trainkit.errors import TrainError
from trainkit.params import SECTIONS, as_section

TABLE = {"validate": "trainkit.checks.Limits", "evaluate": "trainkit.scores.Evaluation"}
TABLE["export"] = "trainkit.export.Limits"
KINDS = {  # job -> section of params.yaml -> what reads it
    "iris": {**TABLE, "train": "model.ForestParams"},
    "production-tabular": {**TABLE, "train": "model.TrainParams"},
    "blur": {
        "validate": "validate.Limits",
        "train": "model.TrainParams",
        "evaluate": "evaluate.Evaluation",
        "export": "export.Limits",
    },
    "cifar10": {
        "validate": "checks.Limits",
        "train": "recipe.Train",
        "evaluate": "evaluate.Evaluation",
        "export": "converted.Export",
    },
    "forecast": {
        "validate": "validate.Limits",
        "train": "plan.TrainParams",
        "evaluate": "plan.Plan",
        "export": "export.Limits",
    },
    "recommender": {
        "validate": "validate.Limits",
        "train": "model.TrainParams",
        "evaluate": "plan.Plan",
        "export": "export.Limits",
    },
    "sentiment": {
        "validate": "validate.Limits",
        "train": "variant.TrainParams",
        "export": "asked.ExportParams",
    },
}
FAR = 10**15  # beyond any limit that means something
SENSELESS = [-FAR, FAR, float("nan"), float("inf"), float("-inf"), True, "7", None]
READS_TORCH = {"cifar10"}
WALKED = [
    pytest.param(job, marks=pytest.mark.fleet) if job in READS_TORCH else job
    for job in sorted(KINDS.keys() & set(NAMES))
]


def params_of(job: str) -> dict[str, dict[str, Any]]:
    found = yaml.safe_load((JOBS / job / "params.yaml").read_text("utf-8"))
    return {section: found.get(section, {}) for section in SECTIONS}


def kinds_of(job: str) -> dict[str, type]:
    """The dataclasses that the stages read params.yaml with."""
    with modules_of(job):
        found = {}
        for section, path in KINDS[job].items():
            module, _, name = path.rpartition(".")
            found[section] = getattr(importlib.import_module(module), name)
    return found


def numbers(params: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for section, values in params.items():
        for name, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield section, name


@pytest.mark.parametrize("job", WALKED)
def test_no_parameter_of_a_job_takes_a_senseless_number(job: str) -> None:
    params, kinds = params_of(job), kinds_of(job)
    found = list(numbers(params))
    assert {section for section, _ in found} <= kinds.keys()
    for section, name in found:
        for value in SENSELESS:
            changed = deepcopy(params)
            changed[section][name] = value
            with pytest.raises(TrainError) as refusal:
                as_section(changed, section, kinds[section])
            assert str(refusal.value).startswith(f"params.yaml: {section}.{name} is {value!r}; write ")


@pytest.mark.parametrize("job", WALKED)
def test_the_committed_parameters_are_within_their_limits(job: str) -> None:
    params = params_of(job)
    for section, kind in kinds_of(job).items():
        assert vars(as_section(params, section, kind)) == params[section]
