"""The gRPC service on the wire's border: each method, each status, deadlines and compression."""

import asyncio
import gzip
import logging
import struct
import time
from asyncio import Future
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from v2serve.asked import Asked
from v2serve.call import Call
from v2serve.codecs.open_inference import message_class, parse
from v2serve.codecs.release import ReleaseName
from v2serve.contract import Contract, RequestCheck, TensorSpec
from v2serve.grpc import GrpcService
from v2serve.grpc_exchange import seconds
from v2serve.protocol import Refusal
from v2serve.tensors import Array
from v2serve.wire.exchange import Answer, Request

Infer = Callable[[Call], Sequence[Array] | Future[Sequence[Array]]]
SERVICE = "/inference.GRPCInferenceService/"


def doubled(call: Call) -> Sequence[Array]:
    return [call.feeds["x"] * 2]


class Doubling:
    """One model, named and ready, whose `infer` a test may replace."""

    def __init__(self, infer: Infer = doubled, ready: bool = True) -> None:
        self.name, self.version, self.digest, self.run = "double", "4", "sha256:" + "0" * 64, None
        spec = TensorSpec("x", "FP32", (-1,))
        self.contract = Contract("double", "onnxruntime_onnx", (spec,), (TensorSpec("y", "FP32", (-1,)),))
        self.check = RequestCheck(self.contract)
        self.infer, self.run_now, self.ready = infer, doubled, ready
        self.release, self.lane = ReleaseName("double", "4"), self
        self.noted: list[Any] = []

    def begin(self, request: Request) -> None:
        self.noted.append(request)

    def note(self, call: Call, arrays: Sequence[Array]) -> None:
        self.noted.append(arrays)

    def work(self, function: Callable[[], Any], deadline: float | None = None) -> "Future[Any]":
        """A lane whose thread is done at once."""
        done = asyncio.get_running_loop().create_future()
        done.set_result(function())
        return done


class Models:
    def __init__(self, served: Doubling) -> None:
        self._served = served

    def __iter__(self) -> Iterator[Doubling]:
        return iter([self._served])

    def find(self, name: str, version: str | None) -> Doubling:
        if name != "double" or version not in (None, "4"):
            raise Refusal(404, f"model '{name}' is not served here; this server serves double")
        return self._served


def service(infer: Infer = doubled, ready: bool = True, body_bytes: int = 1 << 16) -> GrpcService:
    return GrpcService(Models(Doubling(infer)), lambda: ready, body_bytes)  # type: ignore[arg-type]


def request(method: str, body: bytes, http: str = "2", verb: str = "POST", **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path = method if method.startswith("/") else SERVICE + method
    asked = Request(verb, path, "", {"content-type": "application/grpc", **named}, time.perf_counter(), http)
    asked.body = body
    return asked


def framed(message: bytes, flag: int = 0) -> bytes:
    return struct.pack(">BI", flag, len(message)) + message


def message(name: str, /, **fields: Any) -> bytes:
    octets: bytes = message_class(name if "." in name else f"inference.{name}")(**fields).SerializeToString()
    return octets


INFER = message(
    "ModelInferRequest",
    model_name="double",
    id="mine",
    inputs=[{"name": "x", "datatype": "FP32", "shape": [2]}],
    raw_input_contents=[np.array([1, 2], np.float32).tobytes()],
)


def sent(asked: Request, to: GrpcService | None = None) -> Answer | Future[Answer]:
    grpc = to or service()
    assert grpc.handles(asked)
    return grpc.admit(asked) or _stepped(grpc.decoded(asked))


def _stepped(made: Asked | Answer | Future[Answer]) -> Answer | Future[Answer]:
    """The steps of a turn, for one request."""
    if not isinstance(made, Asked):
        return made
    made.run()
    return made.answer()


def told(answer: Answer | Future[Answer], name: str) -> Any:
    """The message of an answer whose status is OK."""
    assert isinstance(answer, Answer)
    assert answer.headers == (("content-type", "application/grpc"),)
    assert answer.trailers == (("grpc-status", "0"),)
    flag, length = struct.unpack_from(">BI", answer.body)
    assert (flag, length) == (0, len(answer.body) - 5)
    return parse(message_class(name if "." in name else f"inference.{name}"), bytes(answer.body[5:]))


def status(answer: Answer | Future[Answer]) -> tuple[int, str]:
    """The gRPC status and its message, of an answer that has nothing else."""
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body, answer.trailers) == (200, b"", ())
    headers = dict(answer.headers)
    assert headers["grpc-message"].isascii()
    return int(headers["grpc-status"]), unquote(headers["grpc-message"])


def asked(method: str, kind: str, to: GrpcService | None = None, /, **fields: Any) -> Any:
    return told(sent(request(method, framed(message(f"{kind}Request", **fields))), to), f"{kind}Response")


def test_an_inference_is_answered_at_once() -> None:
    answer = told(sent(request("ModelInfer", framed(INFER))), "ModelInferResponse")
    assert (answer.model_name, answer.model_version, answer.id) == ("double", "4", "mine")
    assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [2, 4]


def test_what_was_asked_and_answered_is_noted_for_who_watches() -> None:
    served = Doubling()
    told(
        sent(request("ModelInfer", framed(INFER)), GrpcService(Models(served), lambda: True, 99)),
        "ModelInferResponse",
    )
    asked, arrays = served.noted
    assert asked.path == "/inference.GRPCInferenceService/ModelInfer"
    assert arrays[0].tolist() == [2, 4]


async def test_a_large_message_is_run_in_a_thread_of_the_lane() -> None:
    values = np.ones(1 << 17, np.float32)
    inputs = [{"name": "x", "datatype": "FP32", "shape": [len(values)]}]
    large = message(
        "ModelInferRequest", model_name="double", inputs=inputs, raw_input_contents=[values.tobytes()]
    )
    answer = sent(request("ModelInfer", framed(large)), service(body_bytes=1 << 20))
    assert isinstance(answer, Future)
    output = told(await answer, "ModelInferResponse").raw_output_contents[0]
    assert output == (values * 2).tobytes()


def test_the_server_is_live_and_ready_unless_it_drains() -> None:
    draining = service(ready=False)
    assert asked("ServerLive", "ServerLive", draining).live
    assert asked("ServerReady", "ServerReady").ready
    assert not asked("ServerReady", "ServerReady", draining).ready


def test_a_model_is_ready_by_name_and_version() -> None:
    assert asked("ModelReady", "ModelReady", name="double").ready
    assert asked("ModelReady", "ModelReady", name="double", version="4").ready
    assert not asked("ModelReady", "ModelReady", service(ready=False), name="double").ready


def test_metadata_says_what_the_model_takes_and_which_digest_it_is() -> None:
    answer = asked("ModelMetadata", "ModelMetadata", name="double")
    assert [(s.name, s.datatype, list(s.shape)) for s in answer.inputs] == [("x", "FP32", [-1])]
    assert [s.name for s in answer.outputs] == ["y"]
    assert (list(answer.versions), answer.platform) == (["4"], "onnxruntime_onnx")
    assert dict(answer.properties) == {"digest": "sha256:" + "0" * 64, "version": "4"}


def test_the_server_says_its_name() -> None:
    assert asked("ServerMetadata", "ServerMetadata").name == "v2serve"


def test_the_repository_index_lists_models_and_their_states() -> None:
    (row,) = asked("RepositoryIndex", "RepositoryIndex").models
    assert (row.name, row.version, row.state) == ("double", "4", "READY")
    draining = service(ready=False)
    assert asked("RepositoryIndex", "RepositoryIndex", draining).models[0].state == "UNAVAILABLE"
    assert not asked("RepositoryIndex", "RepositoryIndex", draining, ready=True).models


@pytest.mark.parametrize("method", ["RepositoryModelLoad", "RepositoryModelUnload"])
def test_only_git_changes_what_is_loaded(method: str) -> None:
    code, reason = status(sent(request(method, framed(b"\x0a\x04iris"))))
    assert (code, reason) == (12, "only Git changes what is loaded: merge a release to main")


@pytest.mark.parametrize(
    ("name", "ready", "serving"),
    [("", True, 1), ("", False, 2), ("inference.GRPCInferenceService", True, 1), ("double", True, 1)],
)
def test_a_kubelet_hears_whether_the_server_or_a_model_serves(name: str, ready: bool, serving: int) -> None:
    body = framed(message("grpc.health.v1.HealthCheckRequest", service=name))
    answer = sent(request("/grpc.health.v1.Health/Check", body), service(ready=ready))
    assert told(answer, "grpc.health.v1.HealthCheckResponse").status == serving


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata"])
def test_a_model_that_is_not_served_is_not_found(method: str) -> None:
    code, reason = status(sent(request(method, framed(message(f"{method}Request", name="ïris")))))
    assert (code, reason) == (5, "model 'ïris' is not served here; this server serves double")


def test_a_version_that_is_not_served_is_not_found() -> None:
    body = framed(message("ModelInferRequest", model_name="double", model_version="3"))
    assert status(sent(request("ModelInfer", body)))[0] == 5


@pytest.mark.parametrize("path", ["Nothing", "/grpc.health.v1.Health/Watch", "/other.Service/Method"])
def test_an_unknown_method_is_unimplemented(path: str) -> None:
    code, reason = status(sent(request(path, framed(b""))))
    assert code == 12
    assert "is not offered; V2's methods are under /inference.GRPCInferenceService/" in reason


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b"", 3, "the body has 0 bytes; a message begins with 5 bytes of flag and length"),
        (framed(INFER)[:-1], 3, "send one whole message"),
        (framed(INFER) * 2, 3, "send one whole message"),
        (
            framed(b"\xff"),
            3,
            "the message is not an inference.ModelInferRequest: its protobuf cannot be parsed",
        ),
        (framed(INFER, flag=1), 13, "flagged as compressed without a grpc-encoding; name it"),
        (framed(INFER, flag=7), 3, "the message's compressed flag is 7; send 0 or 1"),
        (
            framed(message("ModelInferRequest", model_name="double")),
            3,
            "input 'x': missing; the model takes x",
        ),
    ],
)
def test_a_wrong_message_is_an_invalid_argument(body: bytes, code: int, reason: str) -> None:
    found = status(sent(request("ModelInfer", body)))
    assert found[0] == code
    assert reason in found[1]


def test_a_gzipped_message_is_taken() -> None:
    body = framed(gzip.compress(INFER), flag=1)
    answer = sent(request("ModelInfer", body, grpc_encoding="gzip"))
    assert told(answer, "ModelInferResponse").id == "mine"


def test_an_uncompressed_message_is_taken_where_others_are_compressed() -> None:
    answer = sent(request("ModelInfer", framed(INFER), grpc_encoding="gzip"))
    assert told(answer, "ModelInferResponse").id == "mine"


def test_a_bomb_exhausts_nothing() -> None:
    body = framed(gzip.compress(bytes(1 << 20)), flag=1)
    code, reason = status(sent(request("ModelInfer", body, grpc_encoding="gzip")))
    assert (code, reason) == (8, "the body has more than 65536 bytes once decompressed; send less at once")


def test_another_compression_is_unimplemented_and_told_what_is_taken() -> None:
    answer = sent(request("ModelInfer", framed(INFER), grpc_encoding="snappy"))
    assert status(answer)[0] == 12
    assert isinstance(answer, Answer)
    assert dict(answer.headers)["grpc-accept-encoding"] == "identity, gzip"


@pytest.mark.parametrize(
    ("http_status", "code"),
    [(400, 3), (404, 5), (408, 4), (413, 8), (429, 14), (500, 13), (501, 12), (503, 14), (504, 4)],
)
def test_a_models_refusal_has_grpcs_status(http_status: int, code: int) -> None:
    def refusing(_: Call) -> Sequence[Array]:
        raise Refusal(http_status, "50 % more\nthan ïs allowed")

    answer = sent(request("ModelInfer", framed(INFER)), service(refusing))
    assert status(answer) == (code, "50 % more\nthan ïs allowed")


def test_a_fault_of_ours_is_internal_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def failing(_: Call) -> Sequence[Array]:
        raise ZeroDivisionError("secret")

    with caplog.at_level(logging.ERROR, "v2serve"):
        answer = sent(request("ModelInfer", framed(INFER)), service(failing))
    assert status(answer) == (13, "internal error; the server's log says more")
    assert "ZeroDivisionError" in caplog.text


def test_a_timeout_is_the_calls_deadline() -> None:
    calls: list[Call] = []

    def noting(call: Call) -> Sequence[Array]:
        calls.append(call)
        return [call.feeds["x"]]

    grpc = service(noting)
    timed = request("ModelInfer", framed(INFER), grpc_timeout="250m")
    sent(timed, grpc)
    sent(request("ModelInfer", framed(INFER)), grpc)
    assert calls[0].deadline == pytest.approx(timed.begin + 0.25)
    assert calls[1].deadline is None


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        ("1H", 3600),
        ("2M", 120),
        ("3S", 3),
        ("4m", 0.004),
        ("5u", 5e-6),
        ("6n", 6e-9),
        ("99999999S", 99999999),
    ],
)
def test_each_unit_of_a_timeout_is_understood(timeout: str, expected: float) -> None:
    assert seconds(timeout) == pytest.approx(expected)


@pytest.mark.parametrize("timeout", ["", "1", "S", "-1S", "1.5S", "123456789S", "1s", "1 S"])
def test_a_timeout_that_is_none_is_an_invalid_argument(timeout: str) -> None:
    code, reason = status(sent(request("ModelInfer", framed(INFER), grpc_timeout=timeout)))
    assert code == 3
    assert reason.endswith("is none; send 1 to 8 digits and one of H, M, S, m, u, n")


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        ({"http": "1.1"}, 415, "gRPC needs HTTP/2, this is HTTP/1.1; use a gRPC client, or REST under /v2"),
        ({"verb": "GET"}, 405, "GET is not offered here; gRPC uses POST"),
        ({"content_type": "application/json"}, 415, "content-type 'application/json' is not taken here"),
        ({"content_type": "application/grpc+json"}, 415, "send application/grpc"),
        ({"content_type": "application/grpcx"}, 415, "send application/grpc"),
    ],
)
def test_who_does_not_speak_grpc_is_told_in_http(change: Any, code: int, reason: str) -> None:
    answer = sent(request("ModelInfer", framed(INFER), **change))
    assert isinstance(answer, Answer)
    assert answer.status == code
    assert reason in bytes(answer.body).decode()


@pytest.mark.parametrize(
    "kind", ["application/grpc+proto", "application/grpc; charset=x", "Application/gRPC"]
)
def test_each_way_to_write_the_content_type_is_taken(kind: str) -> None:
    answer = sent(request("ModelInfer", framed(INFER), content_type=kind))
    assert told(answer, "ModelInferResponse").id == "mine"


def test_other_paths_are_not_grpcs() -> None:
    assert not service().handles(request("/v2/models/double/infer", b"", content_type="application/json"))


async def _waiting() -> tuple["Future[Sequence[Array]]", "Future[Answer]"]:
    arrays: Future[Sequence[Array]] = asyncio.get_running_loop().create_future()
    answer = sent(request("ModelInfer", framed(INFER)), service(lambda _: arrays))
    assert isinstance(answer, Future)
    return arrays, answer


async def test_a_model_that_answers_later_is_awaited() -> None:
    arrays, answer = await _waiting()
    arrays.set_result([np.array([7], np.float32)])
    assert told(await answer, "ModelInferResponse").raw_output_contents[0] == np.float32(7).tobytes()


async def test_a_model_that_refuses_later_has_its_status() -> None:
    arrays, answer = await _waiting()
    arrays.set_exception(Refusal(504, "too late"))
    assert status(await answer) == (4, "too late")


async def test_a_caller_who_leaves_gives_the_model_up() -> None:
    arrays, answer = await _waiting()
    answer.cancel()
    await asyncio.sleep(0)
    assert arrays.cancelled()


async def test_a_model_that_gives_up_is_unavailable() -> None:
    arrays, answer = await _waiting()
    arrays.cancel()
    assert status(await answer) == (14, "the server gave this request up; ask again")
