"""KServe's own server departs from what was recorded, no more and no less."""

import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version

import pytest

from tests.conformance import suite
from tests.conformance.departures import KSERVE, recorded
from tests.conformance.http1 import Address, Connection, head_of
from tests.conformance.probe import Target
from tests.conformance.rule import Verdict
from tests.v2serve.servers import free_port

pytestmark = pytest.mark.slow
_START_LIMIT = 60.0
# What depends on how the packets happen to fall.
UNSTEADY = {"grpc.infer.deadline", "http1.refused.close", "http1.refused.framing"}


@pytest.fixture(scope="module")
def kserve() -> Iterator[Target]:
    port, grpc_port = free_port(), free_port()
    ports = ["--port", str(port), "--grpc-port", str(grpc_port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.conformance.kserve_server", *ports],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await(process, Address("127.0.0.1", port), Address("127.0.0.1", grpc_port))
        yield Target(Address("127.0.0.1", port), "iris", Address("127.0.0.1", grpc_port), timeout=3)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: "subprocess.Popen[bytes]", rest: Address, grpc: Address) -> None:
    deadline = time.monotonic() + _START_LIMIT
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            with Connection(grpc, 2), Connection(rest, 2) as connection:
                connection.send(head_of("GET", "/v2/health/ready", [("host", "x")]))
                if connection.reply().status == 200:
                    return
        except (OSError, EOFError):
            time.sleep(0.2)
    raise AssertionError("the server was not ready in time")


def test_the_record_is_of_the_version_that_is_installed() -> None:
    assert f"kserve-{version('kserve')}" == KSERVE.stem


def test_kserve_departs_from_what_was_recorded(kserve: Target) -> None:
    found = {f.rule.id: f.seen for f in suite.run(kserve, suite.RULES) if f.verdict is Verdict.DEPARTS}
    told = recorded(KSERVE)
    assert {name: found[name] for name in set(found) - told - UNSTEADY} == {}
    assert told - set(found) - UNSTEADY == set()
