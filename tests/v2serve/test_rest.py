"""The REST surface of a real server: each path, method, status and header."""

import gzip
import http.client
import json
import socket
import time
from typing import Any

import numpy as np
import pytest
import zstandard

from tests.v2serve.conftest import Artifact
from tests.v2serve.servers import Running

ROW = [5.1, 3.5, 1.4, 0.2]
FEATURES: dict[str, Any] = {"name": "features", "datatype": "FP32", "shape": [1, 4], "data": ROW}
REQUEST = {"id": "42", "inputs": [FEATURES]}
SERVER = {
    "name": "v2serve",
    "version": "0.1.0",
    "extensions": ["binary_tensor_data", "model_repository_index"],
}
ROOTS = ["/v2/models/iris", "/v2/models/iris/versions/4"]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (
            "/v2",
            {
                "name": "v2serve",
                "version": "0.1.0",
                "extensions": ["binary_tensor_data", "model_repository_index"],
            },
        ),
        (
            "/v2/",
            {
                "name": "v2serve",
                "version": "0.1.0",
                "extensions": ["binary_tensor_data", "model_repository_index"],
            },
        ),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True, "live": True}),
        ("/v2/models", {"models": ["iris"]}),
        ("/v2/models/iris/ready", {"name": "iris", "ready": True}),
        ("/v2/models/iris/versions/4/ready", {"name": "iris", "ready": True}),
    ],
)
def test_a_read_answers_json_with_the_digest(
    server: Running, artifact: Artifact, path: str, answer: Any
) -> None:
    reply = server.ask(path)
    assert (reply.status, reply.json) == (200, answer)
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-model-digest"] == artifact.digest


@pytest.mark.parametrize("root", ROOTS)
def test_the_metadata_is_the_contract_and_the_release(server: Running, artifact: Artifact, root: str) -> None:
    contract = json.loads((artifact.folder / "contract.json").read_text())
    release = {"digest": artifact.digest, "version": "4", "run": "run-1"}
    assert server.ask(root).json == {**contract, "versions": ["4"], "properties": release}


@pytest.mark.parametrize("root", ROOTS)
def test_an_inference_is_answered_with_id_version_and_digest(
    server: Running, artifact: Artifact, root: str
) -> None:
    reply = server.ask(f"{root}/infer", REQUEST)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-model-digest"] == artifact.digest
    assert {key: reply.json[key] for key in ("model_name", "model_version", "id")} == {
        "model_name": "iris",
        "model_version": "4",
        "id": "42",
    }


def test_the_golden_request_is_answered_as_reviewed(server: Running, artifact: Artifact) -> None:
    golden = json.loads((artifact.folder / "golden.json").read_text())
    answered = server.infer(golden["request"]).json["outputs"]
    assert [output["name"] for output in answered] == [o["name"] for o in golden["response"]["outputs"]]
    for output, reviewed in zip(answered, golden["response"]["outputs"], strict=True):
        numeric = output["datatype"] != "BYTES"
        assert output["data"] == (pytest.approx(reviewed["data"], rel=1e-5) if numeric else reviewed["data"])


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/", "no such path: '/'; GET /v2 says what this server is"),
        ("/v1/models/iris", "no such path"),
        ("/v2/models/", "model '' is not served here; this server serves iris"),
        ("/v2/models/rose", "model 'rose' is not served here; this server serves iris"),
        ("/v2/models/Iris/ready", "model 'Iris' is not served here"),
        ("/v2/models/rose/infer", "model 'rose' is not served here"),
        ("/v2/models/iris/versions/5", "version '5' of iris is not served here; version 4 is"),
        ("/v2/models/iris/versions/5/infer", "version '5' of iris is not served here"),
        ("/v2/models/iris/versions/4/x", "no such path"),
        ("/v2/models/iris/" + "x" * 5000, "no such path"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_here_is_404_with_what_is(server: Running, path: str, reason: str, method: str) -> None:
    reply = server.ask(path, REQUEST if method == "POST" else None, method)
    assert reply.status == 404
    assert reply.error.startswith(reason)
    assert len(reply.error) < 200


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v2/models/iris/infer", "POST"),
        ("PUT", "/v2/models/iris/infer", "POST"),
        ("POST", "/v2", "GET, HEAD"),
        ("DELETE", "/v2/models/iris", "GET, HEAD"),
        ("POST", "/v2/health/ready", "GET, HEAD"),
        ("POST", "/metrics", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_405_with_the_right_one(
    server: Running, method: str, path: str, allow: str
) -> None:
    reply = server.ask(path, b"{}" if method != "GET" else None, method)
    assert (reply.status, reply.headers["allow"]) == (405, allow)
    assert reply.error == f"{method} is not offered here; use {allow.partition(',')[0]}"


def test_head_is_get_without_a_body(server: Running) -> None:
    reply = server.ask("/v2/health/ready", method="HEAD")
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize("path", ["/v2/repository/models/iris/load", "/v2/repository/models/other/unload"])
def test_loading_by_request_is_501_for_only_git_changes_what_is_loaded(server: Running, path: str) -> None:
    reply = server.ask(path, {})
    assert reply.status == 501
    assert reply.error == "only Git changes what is loaded: merge a release to main"


@pytest.mark.parametrize("content", [b"", b"{", b"null", b'{"inputs": 1}', b"\x00\xff"])
def test_a_body_that_is_not_a_request_is_400(server: Running, content: bytes) -> None:
    reply = server.infer(content)
    assert reply.status == 400
    assert reply.error.startswith("the body is not a V2 inference request: ")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_another_content_type_is_415(server: Running, kind: str) -> None:
    reply = server.infer(REQUEST, content_type=kind)
    assert reply.status == 415
    assert (
        reply.error
        == f"content-type '{kind}' is not taken; send application/json or application/octet-stream"
    )


def test_binary_tensor_data_needs_to_say_where_its_json_ends(server: Running) -> None:
    reply = server.infer(b"{}", content_type="application/octet-stream")
    assert reply.status == 400
    assert "needs the header Inference-Header-Content-Length" in reply.error


def test_binary_tensor_data_goes_in_and_comes_out(server: Running) -> None:
    raw = np.array(ROW, np.float32).tobytes()
    tensor = {"name": "features", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    reply = server.infer(head + raw, inference_header_content_length=str(len(head)))
    assert reply.headers["content-type"] == "application/octet-stream"
    length = int(reply.headers["inference-header-content-length"])
    outputs = json.loads(reply.body[:length])["outputs"]
    sizes = [output["parameters"]["binary_data_size"] for output in outputs]
    assert sum(sizes) == len(reply.body) - length
    expected = server.infer(REQUEST).json["outputs"]
    label = np.frombuffer(reply.body, np.int64, 1, length)
    assert label.tolist() == expected[0]["data"]


def test_the_repository_index_names_what_is_served(server: Running) -> None:
    reply = server.ask("/v2/repository/index", {})
    assert reply.json == [{"name": "iris", "version": "4", "state": "READY", "reason": ""}]


def test_of_a_key_given_twice_the_last_wins(server: Running) -> None:
    body = json.dumps({"id": "first", **REQUEST}).encode()
    assert server.infer(body[:-1] + b', "id": "last"}').json["id"] == "last"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_compressed_body_is_read(server: Running, coding: str) -> None:
    plain = json.dumps(REQUEST).encode()
    body = gzip.compress(plain) if coding == "gzip" else zstandard.compress(plain)
    assert (
        server.infer(body, content_encoding=coding).json["outputs"] == server.infer(REQUEST).json["outputs"]
    )


def test_an_unknown_content_encoding_is_415_with_the_known_ones(server: Running) -> None:
    reply = server.infer(REQUEST, content_encoding="br")
    assert (reply.status, reply.headers["accept-encoding"]) == (415, "gzip, zstd, identity")
    assert reply.error == "content-encoding 'br' is not taken; send one of gzip, zstd, identity"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_small_body_that_becomes_a_large_one_is_413(server: Running, coding: str) -> None:
    plain = b" " * 10_000_000
    body = gzip.compress(plain) if coding == "gzip" else zstandard.compress(plain)
    reply = server.infer(body, content_encoding=coding)
    assert reply.status == 413
    assert "once decompressed" in reply.error


def test_a_long_answer_is_compressed_for_who_likes_it(server: Running) -> None:
    many = {"inputs": [{**FEATURES, "shape": [100, 4], "data": ROW * 100}], "id": "1"}
    plain = server.infer(many, accept_encoding="identity")
    packed = server.infer(many, accept_encoding="gzip, deflate")
    assert "content-encoding" not in plain.headers
    assert (packed.headers["content-encoding"], packed.headers["vary"]) == ("gzip", "accept-encoding")
    assert gzip.decompress(packed.body) == plain.body


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
def test_a_content_type_may_be_written_in_its_other_ways(server: Running, kind: str) -> None:
    assert server.infer(REQUEST, content_type=kind).status == 200


def test_a_body_above_the_limit_is_413_and_the_next_connection_is_served(server: Running) -> None:
    reply = server.infer(b" " * 3_000_000)
    assert reply.status == 413
    assert reply.error == "the body has 3000000 bytes; V2SERVE_MAX_BODY_BYTES allows 65536"
    assert server.infer(REQUEST).status == 200


def test_a_chunked_body_is_taken_up_to_the_limit(server: Running) -> None:
    content = json.dumps(REQUEST).encode()
    assert _chunked(server, [content[:10], content[10:]]).status == 200
    assert _chunked(server, [b" " * 60_000, content]).status == 200
    assert _chunked(server, [b" " * 40_000] * 2).status == 413


def _chunked(server: Running, chunks: list[bytes]) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", "/v2/models/iris/infer", iter(chunks), {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_a_claimed_length_without_bytes_holds_nobody_up(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as half:
        half.sendall(b"POST /v2/models/iris/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n{")
        assert server.infer(REQUEST).status == 200
        assert _metrics(server)['inference_requests_in_flight{model="iris",version="4"}'] == 1
    assert server.infer(REQUEST).status == 200


def test_a_huge_claimed_shape_is_refused_without_memory_for_it(server: Running) -> None:
    before = _resident(server)
    tensor = {**REQUEST["inputs"][0], "shape": [2**40, 4]}  # type: ignore[index,dict-item]
    for _ in range(20):
        assert server.infer({"inputs": [tensor]}).status == 400
    assert _resident(server) - before < 32 * 2**20


def _resident(server: Running) -> float:
    return _metrics(server)["process_resident_memory_bytes"]


def _metrics(server: Running) -> dict[str, float]:
    time.sleep(0.15)  # longer than a text is kept for the next scrape
    lines = server.ask("/metrics").body.decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}


def test_the_metrics_count_what_was_answered(server: Running, artifact: Artifact) -> None:
    before = _metrics(server)
    replies = [server.infer(REQUEST) for _ in range(3)]
    server.infer(b"{")
    after = _metrics(server)

    def grown(series: str) -> float:
        return after[series] - before.get(series, 0.0)

    labels = 'model="iris",version="4"'
    assert grown(f'inference_requests_total{{code="200",{labels}}}') == 3
    assert grown(f'inference_requests_total{{code="400",{labels}}}') == 1
    assert grown(f"inference_request_duration_seconds_count{{{labels}}}") == 4
    assert grown(f'inference_request_duration_seconds_bucket{{le="+Inf",{labels}}}') == 4
    assert grown(f"inference_request_bytes_total{{{labels}}}") == 3 * len(json.dumps(REQUEST)) + 1
    assert grown(f"inference_response_bytes_total{{{labels}}}") >= sum(len(reply.body) for reply in replies)
    assert after[f"inference_requests_in_flight{{{labels}}}"] == 0
    assert after[f"model_ready{{{labels}}}"] == 1
    assert after[f'model_info{{digest="{artifact.digest}",model="iris",run="run-1",version="4"}}'] == 1


def test_the_metrics_come_as_openmetrics_to_who_asks(server: Running) -> None:
    reply = server.ask("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert reply.body.endswith(b"# EOF\n")


def test_one_connection_serves_many_requests(server: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for number in range(20):
        body = json.dumps({**REQUEST, "id": str(number)})
        connection.request("POST", "/v2/models/iris/infer", body, {"content-type": "application/json"})
        assert json.loads(connection.getresponse().read())["id"] == str(number)
    connection.close()
