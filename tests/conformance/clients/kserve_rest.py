"""KServe's InferenceRESTClient."""

from typing import Any

from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput

from tests.conformance.clients.behaviours import COUNTS, FEATURES, FLAGS, MODEL, TEXTS, WORDS, run, same


def _client() -> InferenceRESTClient:
    return InferenceRESTClient(RESTConfig(protocol="v2", timeout=10))


def _inputs(binary: bool) -> list[InferInput]:
    arrays = {"features": FEATURES, "words": WORDS if binary else TEXTS, "counts": COUNTS, "flags": FLAGS}
    kinds = {"features": "FP32", "words": "BYTES", "counts": "INT64", "flags": "BOOL"}
    tensors = [InferInput(name, list(array.shape), kinds[name]) for name, array in arrays.items()]
    for tensor, array in zip(tensors, arrays.values(), strict=True):
        tensor.set_data_from_numpy(array, binary_data=binary)
    return tensors


async def _infer(port: int, binary: bool, **options: Any) -> Any:
    request = InferRequest(MODEL, _inputs(binary), request_id="7", **options)
    async with _client() as client:
        return await client.infer(f"http://127.0.0.1:{port}", request, model_name=MODEL)


def _check(answer: Any) -> None:
    told = {output.name: output for output in answer.outputs}
    same(told["features_out"].as_numpy(), FEATURES)
    same(told["counts_out"].as_numpy(), COUNTS)
    same(told["flags_out"].as_numpy(), FLAGS)


async def finds_the_server_ready(port: int) -> None:
    base = f"http://127.0.0.1:{port}"
    async with _client() as client:
        same([await client.is_server_live(base), await client.is_server_ready(base)], [True, True])
        same(await client.is_model_ready(base, MODEL), True)


async def infers_with_json(port: int) -> None:
    answer = await _infer(port, binary=False)
    same([answer.id, answer.model_name], ["7", MODEL])
    _check(answer)


async def infers_with_binary_inputs(port: int) -> None:
    _check(await _infer(port, binary=True, request_outputs=[
        RequestedOutput(f"{name}_out") for name in ("features", "counts", "flags")
    ]))  # fmt: skip


async def infers_with_binary_outputs(port: int) -> None:
    answer = await _infer(port, binary=True, parameters={"binary_data_output": True})
    _check(answer)
    words = next(output for output in answer.outputs if output.name == "words_out").as_numpy()
    same(words, [word.decode() for word in WORDS])


async def reads_a_refusal(port: int) -> None:
    from httpx import HTTPStatusError

    request = InferRequest(MODEL, [InferInput("x", [1], "FP32", data=[1.0])])
    try:
        async with _client() as client:
            await client.infer(f"http://127.0.0.1:{port}", request, model_name=MODEL)
    except HTTPStatusError as error:
        same([error.response.status_code, "'x'" in str(error)], [400, True])
        return
    raise AssertionError("accepted")


if __name__ == "__main__":
    run([
        finds_the_server_ready, infers_with_json, infers_with_binary_inputs, infers_with_binary_outputs,
        reads_a_refusal,
    ])  # fmt: skip
