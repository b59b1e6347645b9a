"""Workflows hold no logic: pinned actions, no permissions by default, and only what a person can run as well."""

import re

import pytest
import yaml

from tests.repository.tracked import ROOT, tracked

WORKFLOWS = [path for path in tracked() if path.startswith(".github/workflows/")]


def _steps(path):
    jobs = yaml.safe_load((ROOT / path).read_text("utf-8"))["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS)
def test_actions_are_pinned_by_commit(path):
    uses = [step["uses"] for step in _steps(path) if "uses" in step]
    assert uses
    assert [use for use in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", use)] == []


@pytest.mark.parametrize("path", WORKFLOWS)
def test_steps_call_make_or_the_ci_script_alone(path):
    runs = [step["run"] for step in _steps(path) if "run" in step]
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    assert runs
    for run in runs:
        assert run == ".ci/run" or run.removeprefix("make ") in targets, run


@pytest.mark.parametrize("path", WORKFLOWS)
def test_nothing_is_permitted_that_a_job_does_not_ask_for(path):
    assert yaml.safe_load((ROOT / path).read_text("utf-8"))["permissions"] == {}


def test_code_owners_name_folders_that_exist():
    lines = (ROOT / ".github/CODEOWNERS").read_text("utf-8").splitlines()
    places = [line.split()[0] for line in lines if line.startswith("/")]
    assert places
    assert [place for place in places if not (ROOT / place.strip("/")).is_dir()] == []
