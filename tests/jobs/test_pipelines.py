"""What the files of a job name is there: sections of params.yaml, files, outputs, packages of the image."""

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

JOBS = Path(__file__).parents[2] / "training-jobs"
ROOT = JOBS.parent
NAMES = sorted(path.parent.name for path in JOBS.glob("*/dvc.yaml"))


def stages(job: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((JOBS / job / "dvc.yaml").read_text("utf-8"))["stages"]
    return found


def made(job: str) -> set[str]:
    """What the stages write; an entry is a path, or a path with its options."""
    entries = [
        entry
        for stage in stages(job).values()
        for kind in ("outs", "metrics")
        for entry in stage.get(kind, [])
    ]
    return {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}


@pytest.mark.parametrize("job", NAMES)
def test_parameters_of_a_stage_are_in_params_yaml(job: str) -> None:
    params = yaml.safe_load((JOBS / job / "params.yaml").read_text("utf-8"))
    for name, stage in stages(job).items():
        for wanted in stage.get("params", []):
            section, _, key = wanted.partition(".")
            assert section in params, f"{name}: {wanted}"
            assert not key or key in params[section], f"{name}: {wanted}"


@pytest.mark.parametrize("job", NAMES)
def test_what_a_stage_reads_is_there_or_made_by_another(job: str) -> None:
    for name, stage in stages(job).items():
        missing = [dep for dep in stage["deps"] if dep not in made(job) and not (JOBS / job / dep).exists()]
        assert not missing, f"{name}: {missing}"


@pytest.mark.parametrize("job", NAMES)
def test_every_script_of_a_job_is_read_by_a_stage(job: str) -> None:
    """A change of a file that no stage depends on would train nothing again."""
    read = {dep for stage in stages(job).values() for dep in stage["deps"]}
    scripts = {path.name for path in (JOBS / job).glob("*.py")} - {"objective.py"}
    assert scripts <= read


def imported(path: Path) -> set[str]:
    """Roots of the modules that a script imports, at its top or later."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def modules_behind(job: str, script: str) -> set[str]:
    """Files of the job that a script imports, and that these import."""
    found, left = set[str](), {script}
    while left:
        name = left.pop()
        found.add(name)
        left |= {
            f"{root}.py" for root in imported(JOBS / job / name) if (JOBS / job / f"{root}.py").exists()
        } - found
    return found


@pytest.mark.parametrize("job", NAMES)
def test_a_stage_depends_on_every_module_that_it_imports(job: str) -> None:
    """Or a change of one would leave old results standing beside new ones."""
    for name, stage in stages(job).items():
        script = next((word for word in stage["cmd"].split() if word.endswith(".py")), None)
        if script is not None:
            missing = modules_behind(job, script) - set(stage["deps"])
            assert not missing, f"{name}: {sorted(missing)}"


@pytest.mark.parametrize("job", NAMES)
def test_a_job_runs_in_the_image_that_has_what_it_imports(job: str) -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    fleet = {package.partition(">")[0].replace("-", "_").removesuffix("_core") for package in groups["fleet"]}
    needed = fleet & {name for path in (JOBS / job).glob("*.py") for name in imported(path)}
    declared = yaml.safe_load((JOBS / job / "job.yaml").read_text("utf-8")).get("image", "train")
    assert declared == ("fleet" if needed else "train"), sorted(needed)
