"""A checkout of the working tree's jobs, committed, apart from the repository."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MADE = shutil.ignore_patterns("__pycache__", "data", "work", "artifact", "metrics.json", "dvc.lock")
Run = Callable[..., subprocess.CompletedProcess[str]]


def checkout(folder: Path) -> Path:
    """Copy what Git would hold of training-jobs and DVC's settings into `folder`, and commit it."""
    shutil.copytree(ROOT / "training-jobs", folder / "training-jobs", ignore=MADE)
    (folder / ".dvc").mkdir()
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore"):
        shutil.copyfile(ROOT / name, folder / name)
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "jobs"]):
        subprocess.run(["git", *identity, *words], cwd=folder, check=True)
    return folder


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return checkout(tmp_path / "clone")


@pytest.fixture
def run(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run Python in a job's folder with the checkout's trainkit; a registry and bytecode of the test's own."""

    def _run(job: Path, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAINLINE_")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment.update(
            PYTHONPATH=str(job.parent),
            PYTHONPYCACHEPREFIX=str(tmp_path_factory.getbasetemp().parent / "bytecode"),
            MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/mlflow.db",
            MAINLINE_MLFLOW_ARTIFACTS=str(tmp_path / "artifacts"),
        )
        command = [sys.executable, *words]
        return subprocess.run(
            command, cwd=job, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    return _run
