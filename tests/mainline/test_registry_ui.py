"""make mlflow: MLflow's pages over the registry of the checkout, on this machine only, ended by Ctrl-C."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def _start(world, *options):
    return subprocess.Popen(
        [sys.executable, "-m", "mainline.registry_ui", *options],
        cwd=world.places.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _listening(port: int) -> set[str]:
    """Addresses (hexadecimal) on which somebody listens at the port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}


def test_the_pages_and_the_versions_are_shown_on_this_machine_only_until_ctrl_c(world):
    process = _start(world)
    try:
        line = process.stdout.readline()
        address = re.fullmatch(r"MLflow at (http://127\.0\.0\.1:\d+) \(Ctrl-C ends it\)\n", line)
        assert address, line + process.stderr.read()
        with urllib.request.urlopen(f"{address[1]}/", timeout=30) as response:
            assert b'<div id="root"' in response.read()
        found = f"{address[1]}/api/2.0/mlflow/registered-models/search"
        with urllib.request.urlopen(found, timeout=30) as response:
            assert [model["name"] for model in json.load(response)["registered_models"]] == ["iris"]
        port = int(address[1].rpartition(":")[2])
        assert _listening(port) == {"0100007F"}
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert _listening(port) == set()
    finally:
        process.kill()
        process.communicate()


def test_a_taken_port_is_named(world):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = _start(world, "--port", str(port))
        _, said = process.communicate(timeout=100)
    assert process.returncode == 1
    assert f"mainline: MLflow did not start on port {port} (is it taken?)" in said
    assert "Traceback" not in said


def test_without_a_registry_nothing_is_started_or_made(world):
    (world.places.state / "mlflow").unlink()
    process = _start(world)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "does not exist; run `mainline train JOB` or `make up` first" in said
    assert not world.places.registry.exists()
