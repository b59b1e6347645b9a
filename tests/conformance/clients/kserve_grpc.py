"""KServe's InferenceGRPCClient."""

from typing import Any

import grpc
from kserve import InferenceGRPCClient, InferInput, InferRequest

from tests.conformance.clients.behaviours import COUNTS, FEATURES, FLAGS, MODEL, TEXTS, run, same


def _client(port: int) -> InferenceGRPCClient:
    return InferenceGRPCClient(f"127.0.0.1:{port}")


def _request(raw: bool) -> InferRequest:
    arrays = {"features": FEATURES, "words": TEXTS, "counts": COUNTS, "flags": FLAGS}
    kinds = {"features": "FP32", "words": "BYTES", "counts": "INT64", "flags": "BOOL"}
    tensors = [InferInput(name, list(array.shape), kinds[name]) for name, array in arrays.items()]
    for tensor, array in zip(tensors, arrays.values(), strict=True):
        tensor.set_data_from_numpy(array, binary_data=raw)
    return InferRequest(MODEL, tensors, request_id="7")


def _check(answer: Any) -> None:
    told = {output.name: output for output in answer.outputs}
    same(answer.id, "7")
    same(told["features_out"].as_numpy(), FEATURES)
    same(told["counts_out"].as_numpy(), COUNTS)
    same(told["flags_out"].as_numpy(), FLAGS)


async def finds_the_server_ready(port: int) -> None:
    async with _client(port) as client:
        same([await client.is_server_live(), await client.is_server_ready()], [True, True])
        same(await client.is_model_ready(MODEL), True)


async def infers_with_raw_contents(port: int) -> None:
    async with _client(port) as client:
        _check(await client.infer(_request(raw=True)))


async def infers_with_typed_contents(port: int) -> None:
    async with _client(port) as client:
        _check(await client.infer(_request(raw=False)))


async def reads_a_refusal(port: int) -> None:
    request = InferRequest(MODEL, [InferInput("x", [1], "FP32", data=[1.0])])
    try:
        async with _client(port) as client:
            await client.infer(request)
    except grpc.RpcError as error:
        same([error.code().name, "'x'" in error.details()], ["INVALID_ARGUMENT", True])
        return
    raise AssertionError("accepted")


if __name__ == "__main__":
    run([finds_the_server_ready, infers_with_raw_contents, infers_with_typed_contents, reads_a_refusal])
