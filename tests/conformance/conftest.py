"""v2serve with a model of many datatypes, started once a module."""

from collections.abc import Iterator

import pytest

from tests.conformance.http1 import Address
from tests.conformance.models import halves, mixed
from tests.conformance.probe import Probe, Target
from tests.v2serve.artifacts import write
from tests.v2serve.servers import Running, running

MAX_BODY = 1 << 20


@pytest.fixture(scope="module")
def v2serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("mixed")
    digest = write(folder, mixed())
    with running(folder, digest, V2SERVE_MAX_BODY_BYTES=str(MAX_BODY)) as started:
        yield started


@pytest.fixture(scope="module")
def probe(v2serve: Running) -> Probe:
    address = Address("127.0.0.1", v2serve.port)
    request = {"inputs": [dict(tensor) for tensor in mixed().golden]}
    return Probe(Target(address, "iris", address, request=request, max_body=MAX_BODY, timeout=3))


@pytest.fixture(scope="module")
def half_probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    """A server whose model takes and gives FP16, asked with a request that is made from its metadata."""
    folder = tmp_path_factory.mktemp("halves")
    with running(folder, write(folder, halves())) as started:
        address = Address("127.0.0.1", started.port)
        yield Probe(Target(address, "iris", address, timeout=3))
