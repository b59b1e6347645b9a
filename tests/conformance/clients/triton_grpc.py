"""Triton's gRPC client, plain and asyncio."""

from typing import Any

import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.conformance.clients.behaviours import COUNTS, FEATURES, FLAGS, MODEL, WORDS, run, same

_KINDS = {"features": "FP32", "words": "BYTES", "counts": "INT64", "flags": "BOOL"}


def _inputs() -> list[Any]:
    arrays = {"features": FEATURES, "words": WORDS, "counts": COUNTS, "flags": FLAGS}
    tensors = [triton.InferInput(name, list(array.shape), _KINDS[name]) for name, array in arrays.items()]
    for tensor, array in zip(tensors, arrays.values(), strict=True):
        tensor.set_data_from_numpy(array)
    return tensors


def _check(answer: Any) -> None:
    same(answer.as_numpy("features_out"), FEATURES)
    same(answer.as_numpy("words_out"), WORDS)
    same(answer.as_numpy("counts_out"), COUNTS)
    same(answer.as_numpy("flags_out"), FLAGS)
    same(answer.get_response().id, "7")


def finds_the_server_ready(port: int) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        same([client.is_server_live(), client.is_server_ready(), client.is_model_ready(MODEL)], [True] * 3)


def reads_metadata(port: int) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        same(client.get_server_metadata().name, "v2serve")
        same([tensor.name for tensor in client.get_model_metadata(MODEL).inputs], list(_KINDS))


def infers(port: int) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        _check(client.infer(MODEL, _inputs(), request_id="7", client_timeout=5))


def infers_with_gzip(port: int) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        _check(client.infer(MODEL, _inputs(), request_id="7", compression_algorithm="gzip"))


def infers_chosen_outputs(port: int) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        answer = client.infer(MODEL, _inputs(), outputs=[triton.InferRequestedOutput("counts_out")])
    same([output.name for output in answer.get_response().outputs], ["counts_out"])


async def infers_in_asyncio(port: int) -> None:
    async with triton_aio.InferenceServerClient(f"127.0.0.1:{port}") as client:
        _check(await client.infer(MODEL, _inputs(), request_id="7"))


def reads_a_refusal(port: int) -> None:
    tensor = triton.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(FEATURES[:1])
    try:
        with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
            client.infer(MODEL, [tensor])
    except InferenceServerException as error:
        same(["INVALID_ARGUMENT" in str(error.status()), "'x'" in error.message()], [True, True])
        return
    raise AssertionError("accepted")


if __name__ == "__main__":
    run([
        finds_the_server_ready, reads_metadata, infers, infers_with_gzip, infers_chosen_outputs, infers_in_asyncio,
        reads_a_refusal,
    ])  # fmt: skip
