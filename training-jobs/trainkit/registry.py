"""Open the MLflow registry, or say in one line why it cannot be opened."""

import fcntl
import logging
import os
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from trainkit.errors import TrainError

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI = "MLFLOW_TRACKING_URI"
LOCK_WAIT = "TRAINKIT_LOCK_WAIT"  # seconds
DATABASE = "sqlite:///"
MLFLOW_TABLES = {"alembic_version", "experiments", "runs", "metrics", "params", "tags", "registered_models"}
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}  # MLflow servers (http) are asked by MLflow itself
CONNECT_WAIT = 5.0  # seconds
LOCK = 0x6D6C666C6F77  # of ours among the advisory locks of a database
_SECRET = re.compile(r"(\w://[^/\s:@]*:)[^/\s@]+@")
# MLflow reads these at import. Nobody is told that we train; an absent server is reported in seconds, not minutes.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


@cache
def opened() -> "MlflowClient":
    """A client of the registry that MLFLOW_TRACKING_URI names, which is there and can be written."""
    uri = os.environ.get(URI)
    if not uri:
        raise TrainError(f"{URI} is not set: sqlite:////folder/mlflow.db, or the address of an MLflow server")
    if not uri.startswith(DATABASE):
        check_reachable(uri)
        with one_line(uri), _alone_in(uri):
            return _client(uri)
    path = Path(uri.removeprefix(DATABASE))
    with _first_alone(path), one_line(uri):
        check_database(path, float(os.environ.get(LOCK_WAIT, "30")))
        if not path.exists():
            _create(path)
        return _client(uri)


def _create(path: Path) -> None:
    """A new database whole or not at all: MLflow cannot go on with one whose first migration was cut off."""
    draft = path.with_name(f".{path.name}.new")
    for left in path.parent.glob(f"{draft.name}*"):
        left.unlink()
    client: Any = _client(f"{DATABASE}{draft}")
    for store in (client._tracking_client.store, client._get_registry_client().store):
        store.engine.dispose()
    draft.replace(path)


@contextmanager
def _first_alone(path: Path) -> Iterator[None]:
    """Two jobs must not create the tables of one new database at once; MLflow's own lock does not prevent that."""
    if not path.parent.is_dir():
        raise TrainError(f"the folder of the MLflow database {path} does not exist: mkdir -p {path.parent}")
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _alone_in(uri: str) -> Iterator[None]:
    """Refuse a database server that does not let us in at once: MLflow tries for two minutes.

    In PostgreSQL, hold a lock meanwhile: MLflow's own is a file of one machine, and the tables of a new database
    must not be created twice.
    """
    if urlsplit(uri).scheme.startswith("http"):
        yield
        return
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sqlalchemy.text(f"select pg_advisory_lock({LOCK})"))
        yield


def _client(uri: str) -> "MlflowClient":
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.search_registered_models(max_results=1)
    return client


@contextmanager
def one_line(uri: str) -> Iterator[None]:
    """MLflow raises many types for one cause; a person gets its first line."""
    try:
        yield
    except (TrainError, KeyboardInterrupt):
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TrainError(f"MLflow at {without_secret(uri)} refused: {without_secret(first)}") from error


def without_secret(text: str) -> str:
    """The text without the password of an address in it: what is said ends up in logs."""
    return _SECRET.sub(r"\1***@", text)


def check_reachable(uri: str) -> None:
    """Refuse a database server that nobody answers at before MLflow does, which tries for two minutes."""
    parts = urlsplit(uri)
    usual = PORTS.get(parts.scheme.partition("+")[0])
    if usual is None or not parts.hostname:
        return
    port = parts.port or usual
    try:
        socket.create_connection((parts.hostname, port), CONNECT_WAIT).close()
    except OSError as error:
        raise TrainError(
            f"MLflow's database {without_secret(uri)} cannot be reached ({error.strerror or error}): "
            f"start it, or set {URI}"
        ) from None


def check_database(path: Path, wait: float) -> None:
    """Refuse before MLflow does, which retries a locked database for a minute; `wait` is in seconds."""
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise TrainError(
            f"the MLflow database {path} is read-only: give this user write access, or set {URI}"
        )
    if not path.exists():
        return
    try:
        tables = _tables(path, wait)
    except sqlite3.Error as error:
        raise TrainError(_explained(path, wait, error)) from None
    if tables and not tables & MLFLOW_TABLES:
        raise TrainError(
            f"{path} is a database of something else, it has the table {min(tables)}: change {URI}"
        )


def _tables(path: Path, wait: float) -> set[str]:
    """Names of the tables, read under the lock that a writer takes."""
    with closing(sqlite3.connect(path, timeout=wait, isolation_level=None)) as connection:
        connection.execute("begin immediate")
        rows = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
        connection.execute("rollback")
    return {name for (name,) in rows}


def _explained(path: Path, wait: float, error: sqlite3.Error) -> str:
    text = str(error)
    if "locked" in text:
        return f"the MLflow database {path} was locked for {wait:g} s: end the process that holds it, or wait for it"
    if "not a database" in text:
        return f"{path} is not an MLflow database, it is not SQLite: set {URI} to another file"
    if "readonly" in text:
        return f"the MLflow database {path} is read-only: give this user write access, or set {URI}"
    return f"the MLflow database {path} cannot be used ({text}): restore it, or set {URI} to another file"
