"""The registry in PostgreSQL, its artifacts in a store that speaks S3: registered, read for promotion, aliased."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from mainline.errors import Refusal
from mainline.registry import Registry
from tests.trainkit import buckets, postgres
from tests.trainkit.toy import METRICS, export
from trainkit.artifact import verified_digest
from trainkit.errors import TrainError
from trainkit.job import Job
from trainkit.register import register
from trainkit.registry import opened

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MLflow's, alembic's and botocore's
OPEN = "from trainkit.registry import opened; print(len(opened().search_experiments()))"


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with postgres.running() as found:
        yield found


@pytest.fixture(scope="module")
def migrated(server: postgres.Server) -> str:
    """A database with MLflow's tables, made once: its hundred migrations take seconds."""
    uri = server.create("mlflow")
    subprocess.run([sys.executable, "-c", OPEN], env={**os.environ, "MLFLOW_TRACKING_URI": uri}, check=True)
    return uri


@pytest.fixture
def registry(server: postgres.Server, migrated: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A registry of the test's own, which the environment names; its artifacts go to a bucket."""
    uri = server.create_like("own", "mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    opened.cache_clear()
    with buckets.serving(monkeypatch):
        yield uri
    opened.cache_clear()
    server.drop("own")


def test_what_is_registered_is_read_for_promotion_byte_for_byte(exported: Job, registry: str) -> None:
    answer = register(exported, opened())
    assert (answer["version"], answer["new"]) == (1, True)
    reader = Registry(registry)
    version = reader.version("toy-model", None)
    assert version.artifact == f"s3://models/mlflow/toy/{answer['run']}/artifacts/artifact"
    assert (version.digest, version.code, version.metrics) == (answer["digest"], "c0ffee0", METRICS)
    assert version.data == exported.digests()
    assert reader.params(version) == {"train.seed": "7"}
    assert verified_digest(reader.fetch(version)) == answer["digest"]


def test_new_bytes_are_a_second_version_and_the_alias_moves_to_it(exported: Job, registry: str) -> None:
    first = register(exported, opened())
    assert register(exported, opened()) == {**first, "new": False}
    export(exported, {"metrics": {"accuracy": 0.75}})
    second = register(exported, opened())
    assert opened().get_model_version_by_alias("toy-model", "newest").version == 2
    reader = Registry(registry)
    assert sorted(reader.versions("toy-model")) == [1, 2]
    assert reader.version("toy-model", 1).digest == first["digest"]
    assert reader.version("toy-model", None).digest == second["digest"]
    found = reader.with_digest("toy-model", first["digest"])
    assert found is not None
    assert found.version == 1


def test_a_wrong_password_is_one_line_that_does_not_tell_it(
    server: postgres.Server, migrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri("mlflow", "gue55"))
    opened.cache_clear()
    begin = time.monotonic()
    with pytest.raises(TrainError, match=r"password authentication failed for user") as refusal:
        opened()
    opened.cache_clear()
    assert time.monotonic() - begin < 20, "MLflow would have tried for two minutes"
    assert "gue55" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_whoever_reads_with_a_wrong_password_is_told_at_once_and_not_what_it_was(
    server: postgres.Server, migrated: str
) -> None:
    begin = time.monotonic()
    with pytest.raises(Refusal, match=r"password authentication failed for user") as refusal:
        Registry(server.uri("mlflow", "gue55")).versions("toy-model")
    assert time.monotonic() - begin < 20, "MLflow would have tried for two minutes"
    assert "gue55" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_address_without_a_user_is_read_as_whom_the_environment_names(
    server: postgres.Server, migrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGUSER", postgres.USER)
    monkeypatch.setenv("PGPASSWORD", postgres.PASSWORD)
    server.create_like("addressed", "mlflow")  # which nobody may be in when it is copied again
    address = f"postgresql+psycopg2://127.0.0.1:{server.port}/addressed"
    assert Registry(address).versions("toy-model") == {}


def test_reading_a_database_without_a_registry_makes_no_tables(server: postgres.Server) -> None:
    uri = server.create("empty")
    for _ in range(2):
        with pytest.raises(
            Refusal, match="the database has no table model_versions; run `mainline train JOB` first"
        ):
            Registry(uri).versions("toy-model")


def test_a_database_that_is_not_there_is_named(
    server: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri("nowhere"))
    opened.cache_clear()
    with pytest.raises(TrainError, match=r'database "nowhere" does not exist'):
        opened()
    opened.cache_clear()


def test_two_jobs_may_open_a_new_database_at_once(server: postgres.Server) -> None:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": server.create("both")}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for said, errors in [process.communicate(timeout=240) for process in both]:
        assert said.strip() == "1", errors
