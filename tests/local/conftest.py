import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.world import World


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[World]:
    """A root in which nothing runs; whatever a test started is ended, and that it ended is asserted."""
    world = World(tmp_path)
    yield world
    world.environment.stop()
    # Whoever was killed by a test may still be on its way to the lock that ends it.
    time.sleep(0.05)
    assert processes_of(tmp_path) == []


@pytest.fixture
def world(idle: World) -> World:
    return idle.start()


def processes_of(root: Path) -> list[str]:
    """Command lines of living processes that were told of this root, recorded or not."""
    needle = f"{root}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = folder.joinpath("cmdline").read_bytes(), folder.joinpath("environ").read_bytes()
            ended = "\nState:\tZ" in folder.joinpath("status").read_text()
        except OSError:
            continue  # it ended while we looked, or is not ours to look at
        lines = [line for line in told[1].split(b"\0") if line.startswith(b"V2SERVE_")]
        if not ended and needle in told[0] + b"".join(lines):
            found.append(f"{folder.name}: {told[0]!r}")
    return found
