"""The registry with artifacts in a store that speaks S3: whole there, or no version."""

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from mainline.registry import Registry
from tests.trainkit import buckets
from tests.trainkit.toy import export
from trainkit.artifact import verified_digest
from trainkit.errors import TrainError
from trainkit.job import Job
from trainkit.register import register
from trainkit.registry import opened

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MLflow's, alembic's and botocore's


@pytest.fixture
def bucket(registry: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with buckets.serving(monkeypatch) as found:
        yield found


def _keys() -> list[str]:
    found = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"]).list_objects_v2(
        Bucket="models"
    )
    return [str(item["Key"]) for item in found.get("Contents", [])]


def test_artifacts_go_to_the_bucket_and_promotion_finds_them_byte_for_byte(
    exported: Job, bucket: str, registry: Path
) -> None:
    answer = register(exported, opened())
    version = opened().get_model_version("toy-model", "1")
    assert version.source == f"s3://models/mlflow/toy/{answer['run']}/artifacts/artifact"
    prefix = f"mlflow/toy/{answer['run']}/artifacts"
    assert {key.removeprefix(f"{prefix}/") for key in _keys()} == {
        "model/MLmodel",
        *(f"artifact/{path.name}" for path in (exported.folder / "artifact").iterdir()),
    }
    reader = Registry(f"sqlite:///{registry}")
    folder = reader.fetch(reader.version("toy-model", None))
    assert verified_digest(folder) == answer["digest"]


def test_a_bucket_that_is_not_there_leaves_a_failed_run_and_no_version(
    exported: Job, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINLINE_MLFLOW_ARTIFACTS", "s3://gone/mlflow")
    with pytest.raises(TrainError, match=r"refused: .*NoSuchBucket"):
        register(exported, opened())
    client = opened()
    (run,) = client.search_runs([client.get_experiment_by_name("toy").experiment_id])
    assert run.info.status == "FAILED"
    assert client.search_model_versions("name = 'toy-model'") == []


def test_a_new_version_leaves_the_objects_of_the_old_one_as_they_are(exported: Job, bucket: str) -> None:
    register(exported, opened())
    before = _keys()
    export(exported, {"metrics": {"accuracy": 0.75}})
    register(exported, opened())
    assert set(before) < set(_keys())


def test_a_registry_that_is_down_is_one_line_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket
    import time

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{probe.getsockname()[1]}")
        opened.cache_clear()
        begin = time.monotonic()
        with pytest.raises(TrainError, match=r"MLflow at http://127\.0\.0\.1:\d+ refused: "):
            opened()
    assert time.monotonic() - begin < 60
    opened.cache_clear()
