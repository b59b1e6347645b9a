"""A server as a whole: several models, full queues, deadlines, models that raise or hang, and what it tells of them."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.v2serve.artifacts import iris, write
from tests.v2serve.conftest import Artifact
from tests.v2serve.models.examples import passing, slow_model, text_model
from tests.v2serve.servers import (
    Reply,
    Running,
    await_ready,
    end,
    environment,
    free_port,
    refused,
    running,
    start,
)
from v2serve.artifact import write_sums
from v2serve.codecs.open_inference import message_class

FEATURES = {"name": "features", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}
QUOTING = """
from v2serve.pipeline import BadInput


def preprocess(inputs, parameters):
    if parameters:
        raise BadInput(chr(0xDCFF))
    return inputs
"""
RAISING = """
def preprocess(inputs, parameters):
    if parameters:
        raise KeyError("a secret of the inside")
    return inputs
"""


def _one(value: float = 1.0, **parameters: Any) -> dict[str, Any]:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "data": [value]}
    return {"inputs": [tensor], "parameters": parameters}


def _told(models: list[dict[str, Any]], port: int) -> dict[str, str]:
    told = environment(Path("unused"), "unused", port, V2SERVE_MODELS=json.dumps(models))
    single = ("MODEL_NAME", "MODEL_DIGEST", "MODEL_VERSION", "MODEL_RUN", "MODEL_DIR")
    return {name: value for name, value in told.items() if name.removeprefix("V2SERVE_") not in single}


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("several")
    models = [
        {
            "name": "iris",
            "digest": write(folder / "iris", iris()),
            "dir": str(folder / "iris"),
            "version": "4",
        },
        {"name": "tone", "digest": text_model(folder / "tone"), "dir": str(folder / "tone"), "run": "r1"},
    ]
    port = free_port()
    process = start(_told(models, port))
    server = Running(process, port)
    try:
        await_ready(server)
        yield server
    finally:
        end(process)


def _metrics(server: Running) -> dict[str, float]:
    time.sleep(0.35)  # statistics are folded five times a second, a text is kept for a tenth
    lines = server.ask("/metrics").body.decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}


def test_several_models_answer_under_their_names_with_their_digests(several: Running) -> None:
    assert several.ask("/v2/models").json == {"models": ["iris", "tone"]}
    text = {"name": "text", "datatype": "BYTES", "shape": [2], "data": ["the good one", "bad"]}
    tone = several.ask("/v2/models/tone/infer", {"inputs": [text]})
    flower = several.ask("/v2/models/iris/versions/4/infer", {"inputs": [FEATURES]})
    assert tone.json["outputs"][0]["data"] == ["praise", "reproach"]
    assert flower.json["model_version"] == "4"
    assert tone.headers["x-model-digest"] != flower.headers["x-model-digest"]
    assert "x-model-digest" not in several.ask("/v2").headers
    states = [(row["name"], row["state"]) for row in several.ask("/v2/repository/index", {}).json]
    assert states == [("iris", "READY"), ("tone", "READY")]


def test_a_model_that_is_not_there_is_404_with_those_that_are(several: Running) -> None:
    reply = several.ask("/v2/models/rose/infer", {"inputs": []})
    assert (reply.status, reply.error) == (
        404,
        "model 'rose' is not served here; this server serves iris, tone",
    )


def test_metrics_tell_the_models_apart(several: Running) -> None:
    before = _metrics(several)
    several.ask("/v2/models/tone/infer", {"inputs": []})
    after = _metrics(several)
    refused_ = 'inference_requests_total{code="400",model="tone",version=""}'
    assert after[refused_] - before.get(refused_, 0) == 1
    assert 'model_ready{model="iris",version="4"}' in after


def test_two_models_of_one_name_are_refused_with_both(artifact: Artifact) -> None:
    twin = {"name": "iris", "digest": artifact.digest, "dir": str(artifact.folder)}
    line = refused(_told([{**twin, "version": "1"}, {**twin, "version": "2"}], free_port()))
    assert line.startswith("v2serve: two models are named iris: version 1 (sha256:")


def test_input_that_the_models_code_refuses_is_400_with_its_words(several: Running) -> None:
    text = {"name": "text", "datatype": "BYTES", "shape": [1], "data": [""]}
    reply = several.ask("/v2/models/tone/infer", {"inputs": [text]})
    assert (reply.status, reply.error) == (400, "input 'text': an empty text has no label")


def test_code_that_raises_is_500_without_its_words_and_with_a_log(tmp_path: Path) -> None:
    port = free_port()
    process = start(environment(tmp_path, passing(tmp_path, RAISING), port))
    server = Running(process, port)
    try:
        await_ready(server)
        reply = server.infer(_one(bad=1))
        assert (reply.status, reply.error) == (
            500,
            "the model failed on this input; the server's log says more",
        )
        assert server.infer(_one()).status == 200
    finally:
        said = end(process)
    assert "a secret of the inside" in said


def test_a_full_queue_is_503_at_once_and_health_is_answered_meanwhile(tmp_path: Path) -> None:
    with (
        running(tmp_path, slow_model(tmp_path), V2SERVE_QUEUE="1") as server,
        ThreadPoolExecutor(6) as callers,
    ):
        replies = [callers.submit(server.infer, _one(seconds=0.8)) for _ in range(6)]
        time.sleep(0.3)
        begin = time.monotonic()
        assert server.ask("/v2/health/live").status == 200
        assert time.monotonic() - begin < 0.3
        statuses = sorted(reply.result().status for reply in replies)
        assert statuses == [200, 200, 503, 503, 503, 503]
        full: Reply = next(reply.result() for reply in replies if reply.result().status == 503)
        assert int(full.headers["retry-after"]) >= 1
        assert full.error.startswith("the queue of this model is full: 1 calls wait; try again in ")


def test_a_call_ends_at_its_deadline_and_a_hanging_model_is_not_live(tmp_path: Path) -> None:
    with running(tmp_path, slow_model(tmp_path), V2SERVE_DEADLINE_SECONDS="0.4") as server:
        begin = time.monotonic()
        reply = server.infer(_one(seconds=2))
        assert (reply.status, reply.error) == (
            504,
            "the deadline of this call has passed; ask again with more time",
        )
        assert time.monotonic() - begin < 1.5
        live = server.ask("/v2/health/live")
        assert (live.status, live.json["error"]) == (503, "every worker of iris hangs; restart the server")
        assert server.ask("/v2/models/iris/ready").status == 503
        assert server.infer(_one()).status == 503


def test_a_caller_may_ask_for_an_earlier_deadline(tmp_path: Path) -> None:
    with running(tmp_path, slow_model(tmp_path)) as server:
        begin = time.monotonic()
        assert server.infer(_one(seconds=1.5, timeout=200_000)).status == 504
        assert time.monotonic() - begin < 1.2
        assert server.infer(_one(timeout="soon")).error.startswith(
            "parameter timeout is 'soon'; give microseconds"
        )


@pytest.mark.parametrize("size", [1, 20_000])
def test_a_deadline_holds_for_bodies_of_every_size(tmp_path: Path, size: int) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [size], "data": [1.0] * size}
    with running(tmp_path, slow_model(tmp_path)) as server:
        begin = time.monotonic()
        reply = server.infer({"inputs": [tensor], "parameters": {"seconds": 1.5, "timeout": 200_000}})
        assert (reply.status, time.monotonic() - begin < 1.2) == (504, True)


def test_callers_who_leave_at_once_take_nobodys_time_and_are_no_noise(tmp_path: Path) -> None:
    port = free_port()
    process = start(environment(tmp_path, slow_model(tmp_path), port))
    server = Running(process, port)
    try:
        await_ready(server)
        body = json.dumps(_one(seconds=0.4)).encode()
        head = (
            f"POST /v2/models/iris/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        )
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port)) as caller:
                caller.sendall(head + body)
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        begin = time.monotonic()
        assert server.infer(_one()).status == 200
        assert time.monotonic() - begin < 3
        assert _metrics(server)['inference_requests_in_flight{model="iris",version="4"}'] == 0
    finally:
        said = end(process)
    assert "never" not in said
    assert "Traceback" not in said


def test_a_refusal_may_quote_text_that_is_no_unicode(tmp_path: Path) -> None:
    code = QUOTING
    with running(tmp_path, passing(tmp_path, code)) as server:
        reply = server.infer(_one(bad=1))
        assert (reply.status, reply.error) == (400, "?")


def test_a_stop_waits_for_the_model_to_finish_its_last_call(tmp_path: Path) -> None:
    port = free_port()
    process = start(environment(tmp_path, slow_model(tmp_path), port))
    server = Running(process, port)
    await_ready(server)
    with ThreadPoolExecutor(1) as callers:
        reply = callers.submit(server.infer, _one(seconds=5))
        time.sleep(0.3)
        process.terminate()
        assert reply.result().status == 200
    assert process.wait(5) == 0
    process.communicate()


@pytest.mark.parametrize("rows", [20_000, 150_000])
def test_a_large_request_gets_its_whole_answer(server: Running, artifact: Artifact, rows: int) -> None:
    with running(*artifact, V2SERVE_MAX_BODY_BYTES=str(64 << 20)) as roomy:
        many = {"inputs": [{**FEATURES, "shape": [rows, 4], "data": [5.1, 3.5, 1.4, 0.2] * rows}]}
        outputs = roomy.infer(many).json["outputs"]
    one = server.infer({"inputs": [FEATURES]}).json["outputs"]
    assert [output["shape"][0] for output in outputs] == [rows] * len(outputs)
    assert outputs[2]["data"][-3:] == pytest.approx(one[2]["data"], abs=1e-6)


def test_each_answer_is_a_line_of_the_access_log(artifact: Artifact) -> None:
    port = free_port()
    process = start(environment(*artifact, port, V2SERVE_ACCESS_LOG="1"))
    server = Running(process, port)
    await_ready(server)
    server.infer({"id": "mine", "inputs": [FEATURES]}, traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01")
    process.terminate()
    out, _ = process.communicate(timeout=15)
    lines = [json.loads(line) for line in out.decode().splitlines()]
    (line,) = [line for line in lines if line["path"].endswith("/infer")]
    assert (line["status"], line["model"], line["version"], line["digest"]) == (
        200,
        "iris",
        "4",
        artifact.digest,
    )
    assert line["request_id"] == "mine"
    assert (line["trace_id"], line["protocol"], line["http"]) == ("ab" * 16, "rest", "1.1")


def test_what_is_asked_is_compared_with_the_training_data_by_rest_and_grpc(tmp_path: Path) -> None:
    write(tmp_path, iris())
    statistics = {"min": 0.0, "max": 8.0, "mean": 4.0, "std": 1.0, "quantiles": [4.0], "shares": [0.5, 0.5]}
    features = [{"name": f"f{n}", "unit": "cm", **statistics} for n in range(4)]
    reference = {"rows": 100, "features": features, "classes": {"a": 0.5, "b": 0.3, "c": 0.2}}
    (tmp_path / "reference.json").write_text(json.dumps(reference))
    with running(tmp_path, write_sums(tmp_path)) as server:
        server.infer({"inputs": [{**FEATURES, "shape": [2, 4], "data": [5.1, 3.5, 1.4, 0.2] * 2}]})
        _ask_grpc(server.port, np.array([[9.0, 1.0, 1.0, 1.0]], np.float32))
        seen = _metrics(server)
    own = 'model="iris",version="4",feature="f0"'
    assert seen[f"inference_input_values_total{{{own}}}"] == 3
    assert seen[f"inference_input_above_range_total{{{own}}}"] == 1
    assert seen['inference_protocol_requests_total{code="200",model="iris",version="4",protocol="grpc"}'] == 1


def test_of_texts_the_answers_are_compared_with_those_on_reference_rows(tmp_path: Path) -> None:
    text_model(tmp_path)
    usual = {"predictions": {"classes": {"praise": 0.5, "reproach": 0.5}}}
    (tmp_path / "reference.json").write_text(json.dumps(usual))
    texts = {"name": "text", "datatype": "BYTES", "shape": [3], "data": ["bad", "bad", "good"]}
    with running(tmp_path, write_sums(tmp_path), V2SERVE_MODEL_NAME="tone") as server:
        assert server.ask("/v2/models/tone/infer", {"inputs": [texts]}).status == 200
        seen = _metrics(server)
    own = 'model="tone",version="4"'
    assert seen[f'inference_prediction_total{{{own},class="reproach"}}'] == 2
    assert seen[f"inference_prediction_stability_index{{{own}}}"] == pytest.approx(np.log(2) / 6)


def _ask_grpc(port: int, rows: Any) -> Any:
    import grpc

    asked, answered = (
        message_class("inference.ModelInferRequest"),
        message_class("inference.ModelInferResponse"),
    )
    tensor = {"name": "features", "datatype": "FP32", "shape": rows.shape}
    request = asked(model_name="iris", inputs=[tensor], raw_input_contents=[rows.tobytes()])
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answered.FromString,
        )
        return infer(request, timeout=10)
