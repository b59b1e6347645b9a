"""One server for the tests that leave it as it was."""

from collections.abc import Iterator

import pytest

from tests.v2serve.wire.echo import Caller, Running, calling, serving


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving(read_seconds=5.0, body_bytes=200_000, held_bytes=1_000_000, head_bytes=20_000) as server:
        yield server


@pytest.fixture
def caller(running: Running) -> Iterator[Caller]:
    running.forget()
    with calling(running) as caller:
        yield caller
