"""A pipeline ends with who started it, so that the next run finds the job's folder free."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
# A grandchild that would sleep for a minute, started by a child that waits for it.
WATCHED = """
import signal, time
from trainkit.parent import end_with_parent
end_with_parent()
print("watching", flush=True)
time.sleep(60)
"""
STARTER = """
import os, subprocess, sys
environment = {**os.environ, "TRAINKIT_PARENT": str(os.getpid())}
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], env=environment)
print(child.pid, flush=True)
child.wait()
"""


def _gone(pid: int, seconds: float) -> bool:
    """Has the process ended within `seconds`? Whoever adopted it may not have asked for its end yet."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


def test_a_pipeline_whose_starter_was_killed_ends_itself() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "training-jobs")}
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, WATCHED], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    try:
        assert starter.stdout.readline() == "watching\n"
        assert not _gone(pid, 1.5)
        starter.kill()
        starter.wait()
        assert _gone(pid, 20)
    finally:
        starter.kill()
        starter.communicate()
        if not _gone(pid, 0.2):
            os.kill(pid, signal.SIGKILL)


def test_children_do_not_inherit_the_watch_and_without_the_variable_nobody_watches() -> None:
    program = (
        "import os, threading\nfrom trainkit.parent import end_with_parent\nend_with_parent()\n"
        "print(threading.active_count(), os.environ.get('TRAINKIT_PARENT'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "training-jobs")}
    for told, threads in ((str(os.getpid()), 2), ("", 1)):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**environment, "TRAINKIT_PARENT": told}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == f"{threads} None\n"
