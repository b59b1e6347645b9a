"""The listening socket, and how many connections this process may have."""

import resource
from collections.abc import Iterator

import pytest

from v2serve.wire.server import connections, listen


@pytest.fixture
def files() -> Iterator[int]:
    """The hard limit of open files; the soft one is put back afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield hard if hard != resource.RLIM_INFINITY else 1 << 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_port_that_is_taken_is_an_error() -> None:
    with listen("127.0.0.1", 0) as first, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", first.getsockname()[1])


def test_the_limit_of_open_files_is_raised_for_connections(files: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))
    assert connections(500) == min(500, files - 128)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(628, files)


def test_a_limit_of_open_files_that_suffices_is_left_alone(files: int) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert connections(10) == 10
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft
