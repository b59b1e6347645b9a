"""One small real model and one server of it for the whole session."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.v2serve.artifacts import Served, iris, write
from tests.v2serve.asking import Inference
from tests.v2serve.servers import Running, running


class Artifact(NamedTuple):
    folder: Path
    digest: str


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("artifact")
    return Artifact(folder, write(folder, iris()))


@pytest.fixture(scope="session")
def server(artifact: Artifact) -> Iterator[Running]:
    with running(*artifact, V2SERVE_MAX_BODY_BYTES="65536") as started:
        yield started


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Served], Inference]:
    def loaded(served: Served) -> Inference:
        folder = tmp_path_factory.mktemp("model")
        write(folder, served)
        return Inference(folder)

    return loaded


@pytest.fixture(scope="session")
def infer(load: Callable[[Served], Inference]) -> Inference:
    return load(iris())
