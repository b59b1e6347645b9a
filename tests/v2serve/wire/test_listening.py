"""The listening socket, and how many connections this process may have."""

import resource
import socket
from collections.abc import Iterator

import pytest

from v2serve.wire.server import bind, connections


@pytest.fixture
def files() -> Iterator[int]:
    """The hard limit of open files; the soft one is put back afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield hard if hard != resource.RLIM_INFINITY else 1 << 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_port_that_is_taken_is_an_error() -> None:
    with bind("127.0.0.1", 0) as first:
        first.listen()
        with pytest.raises(OSError, match="in use"):
            bind("127.0.0.1", first.getsockname()[1])


def test_a_port_that_is_bound_is_not_open_yet() -> None:
    with bind("127.0.0.1", 0) as bound, pytest.raises(ConnectionRefusedError):
        socket.create_connection(bound.getsockname())


def test_the_limit_of_open_files_is_raised_for_connections(files: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))
    assert connections(500) == min(500, files - 128)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(628, files)


def test_a_limit_of_open_files_that_suffices_is_left_alone(files: int) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert connections(10) == 10
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft
