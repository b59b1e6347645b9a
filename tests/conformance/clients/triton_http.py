"""Triton's HTTP client, plain and asyncio."""

from typing import Any

import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.conformance.clients.behaviours import COUNTS, FEATURES, FLAGS, MODEL, TEXTS, WORDS, run, same

_KINDS = {"features": "FP32", "words": "BYTES", "counts": "INT64", "flags": "BOOL"}


def _inputs(binary: bool) -> list[Any]:
    arrays = {"features": FEATURES, "words": WORDS if binary else TEXTS, "counts": COUNTS, "flags": FLAGS}
    tensors = [triton.InferInput(name, list(array.shape), _KINDS[name]) for name, array in arrays.items()]
    for tensor, array in zip(tensors, arrays.values(), strict=True):
        tensor.set_data_from_numpy(array, binary_data=binary)
    return tensors


def _outputs(binary: bool) -> list[Any]:
    return [triton.InferRequestedOutput(f"{name}_out", binary_data=binary) for name in _KINDS]


def _check(answer: Any, words: Any = None) -> None:
    same(answer.as_numpy("features_out"), FEATURES)
    same(answer.as_numpy("counts_out"), COUNTS)
    same(answer.as_numpy("flags_out"), FLAGS)
    if words is not None:
        same(answer.as_numpy("words_out"), words)
    same(answer.get_response()["id"], "7")


def finds_the_server_ready(port: int) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        same([client.is_server_live(), client.is_server_ready(), client.is_model_ready(MODEL)], [True] * 3)
        same(client.is_model_ready("no-such-model"), False)


def reads_metadata(port: int) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        same(client.get_server_metadata()["name"], "v2serve")
        same([tensor["name"] for tensor in client.get_model_metadata(MODEL)["inputs"]], list(_KINDS))
        same([model["name"] for model in client.get_model_repository_index()], [MODEL])


def infers_with_json(port: int) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        _check(client.infer(MODEL, _inputs(False), outputs=_outputs(False), request_id="7"))


def infers_with_binary_data(port: int) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        _check(client.infer(MODEL, _inputs(True), outputs=_outputs(True), request_id="7"), WORDS)
        _check(client.infer(MODEL, _inputs(True), request_id="7"), WORDS)


def infers_a_version(port: int) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        _check(client.infer(MODEL, _inputs(True), model_version="4", request_id="7"), WORDS)


def infers_with_gzip(port: int) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        _check(client.infer(
            MODEL, _inputs(True), request_id="7",
            request_compression_algorithm="gzip", response_compression_algorithm="gzip",
        ), WORDS)  # fmt: skip


def infers_at_once(port: int) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{port}", concurrency=4) as client:
        waiting = [client.async_infer(MODEL, _inputs(True), request_id="7") for _ in range(16)]
        for each in waiting:
            _check(each.get_result(), WORDS)


async def infers_in_asyncio(port: int) -> None:
    async with triton_aio.InferenceServerClient(f"127.0.0.1:{port}") as client:
        _check(await client.infer(MODEL, _inputs(True), request_id="7"), WORDS)


def reads_a_refusal(port: int) -> None:
    tensor = triton.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(FEATURES[:1])
    try:
        with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
            client.infer(MODEL, [tensor])
    except InferenceServerException as error:
        same(["400" in str(error.status()), "'x'" in error.message()], [True, True])
        return
    raise AssertionError("accepted")


if __name__ == "__main__":
    run([
        finds_the_server_ready, reads_metadata, infers_with_json, infers_with_binary_data, infers_a_version,
        infers_with_gzip, infers_at_once, infers_in_asyncio, reads_a_refusal,
    ])  # fmt: skip
