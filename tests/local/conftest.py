import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.world import World


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[World]:
    """A root in which nothing runs; whatever a test started is ended, and that it ended is asserted."""
    world = World(tmp_path)
    yield world
    pids = set(world.pids().values())
    world.environment.stop()
    assert not [pid for pid in pids if _runs(pid)]


@pytest.fixture
def world(idle: World) -> World:
    return idle.start()


def _runs(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
