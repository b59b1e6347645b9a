"""Ctrl-C at any point of up and promote: nothing half-written, nothing left behind, and a repeat completes."""

import json
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.e2e


def _interrupted(clone, seconds, *arguments):
    """Start a verb in a process group of its own and press Ctrl-C after a while, as a terminal does."""
    import os

    process = subprocess.Popen(
        [sys.executable, "-m", "mainline", *arguments],
        cwd=clone.root, env=clone.environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(seconds)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    _, complaint = process.communicate(timeout=30)
    return process.returncode, complaint


def test_up_is_interrupted_at_many_points_and_then_completes(clone):
    for seconds in (0.2, 1.0, 4.0, 9.0):
        code, complaint = _interrupted(clone, seconds, "up", "--port", "0")
        assert code in (130, -signal.SIGINT), complaint
        assert "Traceback" not in complaint
        time.sleep(0.3)
        assert clone.processes() == []
    done = clone.mainline("up", "--port", "0", "--json", timeout=180)
    assert done.returncode == 0, done.stderr
    assert [row["version"] for row in json.loads(done.stdout)] == [1, 1]
    assert clone.git("rev-list", "--merges", "main", folder=clone.remote) == ""
    clone.git("fsck", "--strict", folder=clone.remote)
    for seconds in (0.1, 0.4, 1.0, 1.6):
        before = clone.head()
        code, _ = _interrupted(clone, seconds, "rollback", "iris", "--to", "local")
        assert clone.head() == before
        _interrupted(clone, seconds, "promote", "iris", "--to", "local")
        assert clone.head() == before
    assert all(verdict["agrees"] for verdict in clone.json("verify"))


def test_a_pipeline_whose_mainline_was_killed_ends_itself_and_the_next_one_completes(clone):
    process = subprocess.Popen(
        [sys.executable, "-m", "mainline", "train", "iris"],
        cwd=clone.root, env=clone.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not any("trainkit run" in words for words in clone.processes()) and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(2)
    process.kill()
    process.wait()
    end = time.monotonic() + 30
    while clone.processes() and time.monotonic() < end:
        time.sleep(0.2)
    assert clone.processes() == []
    done = clone.mainline("train", "iris", "--json", timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version"] == 1
