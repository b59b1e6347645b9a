"""KServe's own client works unchanged."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.v2serve.conftest import Artifact
from tests.v2serve.servers import Running

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture
async def client() -> AsyncIterator[Any]:
    from kserve import InferenceRESTClient
    from kserve.inference_client import RESTConfig

    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=10)) as opened:
        yield opened


async def test_the_client_finds_the_server_live_and_the_model_ready(server: Running, client: Any) -> None:
    base = f"http://127.0.0.1:{server.port}"
    assert await client.is_server_live(base) is True
    assert await client.is_server_ready(base) is True
    assert await client.is_model_ready(base, "iris") is True


async def test_the_client_infers_and_reads_every_output(
    server: Running, artifact: Artifact, client: Any
) -> None:
    from kserve import InferInput, InferRequest

    tensor = InferInput("features", [1, 4], "FP32", data=[5.1, 3.5, 1.4, 0.2])
    request = InferRequest("iris", [tensor], request_id="7")
    headers: dict[str, str] = {}
    answer = await client.infer(
        f"http://127.0.0.1:{server.port}", request, model_name="iris", response_headers=headers
    )
    assert (answer.model_name, answer.id) == ("iris", "7")
    assert answer.outputs[2].as_numpy().shape == (1, 3)
    assert answer.outputs[0].as_numpy().tolist() == [2]
    assert headers["x-model-digest"] == artifact.digest


async def test_the_client_reads_a_refusal(server: Running, client: Any) -> None:
    from httpx import HTTPStatusError
    from kserve import InferInput, InferRequest

    request = InferRequest("iris", [InferInput("x", [1], "FP32", data=[1.0])])
    with pytest.raises(
        HTTPStatusError, match=r"input 'x': unknown; the model takes features.*400 Bad Request"
    ):
        await client.infer(f"http://127.0.0.1:{server.port}", request, model_name="iris")
