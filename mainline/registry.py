"""The registry, read: which versions of a model exist, and what was measured of each (MLflow 3)."""

import json
import math
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.declarations.scalars import without_password
from mainline.errors import Refusal

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQLITE = "sqlite:///"
_TABLE = "model_versions"
_COUNT = f"select count(*) from {_TABLE}"  # noqa: S608


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version of a registered model, with the tags that trainkit wrote on its run."""

    model: str
    version: int
    digest: str
    run: str
    code: str
    dirty: bool
    data: Mapping[str, str]
    metrics: Mapping[str, float]
    artifact: str


class Registry:
    """MLflow behind one URI. Reading never writes: a missing database is an error, not a new database."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def version(self, model: str, number: int | None) -> RegisteredVersion:
        """Version `number` of a model, or its newest."""
        known = self.versions(model)
        if not known:
            raise Refusal(f"model {model!r} has no version in the registry; run `mainline train` first")
        chosen = max(known) if number is None else number
        if chosen not in known:
            listed = ", ".join(str(number) for number in sorted(known))
            raise Refusal(f"{model} has no version {chosen} in the registry; it has {listed}")
        return _read(self._client(), known[chosen])

    def with_digest(self, model: str, digest: str) -> RegisteredVersion | None:
        """The newest version of a model that has these bytes."""
        known = self.versions(model)
        read = (_read(self._client(), known[number]) for number in sorted(known, reverse=True))
        return next((version for version in read if version.digest == digest), None)

    def versions(self, model: str) -> dict[int, Any]:
        self.probe()
        client = self._client()
        with _one_line(self.uri):
            found = client.search_model_versions(f"name = '{model}'")
        return {int(entry.version): entry for entry in found}

    def params(self, version: RegisteredVersion) -> dict[str, str]:
        """What the version's run was made with, as MLflow keeps it: text by name."""
        with _one_line(self.uri):
            return dict(self._client().get_run(version.run).data.params)

    def fetch(self, version: RegisteredVersion) -> Path:
        """The artifact's folder on this machine; downloaded when the registry is elsewhere."""
        import mlflow.artifacts

        with _one_line(self.uri):
            folder = mlflow.artifacts.download_artifacts(artifact_uri=version.artifact, tracking_uri=self.uri)
        return Path(folder)

    def _client(self) -> "MlflowClient":
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def probe(self) -> None:
        """Refusal unless the registry can be read; nothing is made."""
        # MLflow would make what is missing, and retry what is refused for minutes.
        if self.uri.startswith(_SQLITE):
            _probe_file(Path(self.uri.removeprefix(_SQLITE)))
        elif not self.uri.startswith("http"):
            with _one_line(self.uri):
                _probe_database(self.uri)


def _probe_file(path: Path) -> None:
    if not path.is_file():
        raise Refusal(
            f"the MLflow database {path} does not exist; run `mainline train JOB` or `make up` first"
        )
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5) as connection:
            connection.execute(_COUNT).fetchone()
    except sqlite3.Error as error:
        mend = (
            "end the process that holds it"
            if "locked" in str(error)
            else "restore it, or remove it and train again"
        )
        raise Refusal(f"the MLflow database {path} cannot be read ({error}); {mend}") from error


def _probe_database(uri: str) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        if not sqlalchemy.inspect(connection).has_table(_TABLE):
            raise Refusal(
                f"MLflow at {without_password(uri)}: the database has no table {_TABLE};"
                " run `mainline train JOB` first, or name another in mainline:registry of the stack file"
            )
        connection.execute(sqlalchemy.text(_COUNT)).fetchone()


class _one_line:  # noqa: N801  a context manager, read as a phrase
    """MLflow raises many types for one cause; a person gets its first line."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, Refusal):
            words = (str(error).strip().splitlines() or [type(error).__name__])[0]
            if "Max retries exceeded" in words:
                words = "cannot be reached; is mainline:registry of the stack file right, and the network up?"
            raise Refusal(f"MLflow at {without_password(self.uri)}: {without_password(words)}") from error


def _read(client: "MlflowClient", entry: Any) -> RegisteredVersion:
    run = client.get_run(entry.run_id)
    tags, where = run.data.tags, f"{entry.name} version {entry.version}"
    missing = [name for name in ("mainline.digest", "mainline.code", "mainline.data") if name not in tags]
    if missing:
        raise Refusal(f"{where}: run {entry.run_id} has no tag {missing[0]!r}; register it with trainkit")
    return RegisteredVersion(
        model=entry.name,
        version=int(entry.version),
        digest=tags["mainline.digest"],
        run=entry.run_id,
        code=tags["mainline.code"],
        dirty=tags.get("mainline.dirty", "true") != "false",
        data=json.loads(tags["mainline.data"]),
        metrics={name: value for name, value in sorted(run.data.metrics.items()) if math.isfinite(value)},
        artifact=entry.source,
    )
