"""Jobs with and without an artifact, and registries of their own."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.trainkit.toy import PARAMS, declare, export
from trainkit.job import Job, read_job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return read_job(declare(tmp_path))


@pytest.fixture
def exported(job: Job, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job with an artifact, as the pipeline leaves it, in no Git repository."""
    monkeypatch.setenv("MAINLINE_CODE", "c0ffee0")
    (job.folder / "params.yaml").write_text(yaml.safe_dump(PARAMS), encoding="utf-8")
    export(job, {})
    return job


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs, made once: its hundred migrations take seconds."""
    from trainkit.registry import opened

    path = tmp_path_factory.mktemp("registry") / "mlflow.db"
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{path}"
    try:
        opened()
    finally:
        del os.environ["MLFLOW_TRACKING_URI"]
        opened.cache_clear()
    return path


@pytest.fixture
def registry(empty_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A registry of the test's own, which the environment names."""
    from trainkit.registry import opened

    path = tmp_path / "mlflow.db"
    shutil.copyfile(empty_registry, path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    monkeypatch.setenv("MAINLINE_MLFLOW_ARTIFACTS", str(tmp_path / "artifacts"))
    opened.cache_clear()
    yield path
    opened.cache_clear()
