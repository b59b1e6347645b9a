"""The gateway as a process, in front of backends that behave and that do not."""

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mainline.local import records
from mainline.local.layout import Layout
from mainline.local.objects import Objects, read_objects, write_objects
from mainline.local.routes import Backend, Match, Mirror, Route, Rule
from tests.local.backend import backend, response

INFER = "/v2/models/iris/infer"


class Gate:
    """One gateway; `show` gives it live objects and waits until it has them."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        record = records.read_record(layout, records.GATEWAY)
        assert record
        assert record.port
        self.port: int = record.port

    def show(self, rules: list[Rule], **services: list[str]) -> None:
        generation = read_objects(self.layout.objects).generation + 1
        route = Route("models", "iris", tuple(rules))
        live = {name.replace("_", "-"): tuple(urls) for name, urls in services.items()}
        write_objects(self.layout.objects, Objects(generation, {"models/iris": {"iris": route}}, live))
        end = time.monotonic() + 5
        while self.get("/-/gateway")["generation"] != generation:
            assert time.monotonic() < end
            time.sleep(0.005)

    def get(self, path: str) -> Any:
        return json.loads(self.ask("GET", path)[2])

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def refused(self, method: str, path: str, **headers: str) -> tuple[int, str]:
        status, _, body = self.ask(method, path, **headers)
        return status, json.loads(body)["error"]

    def raw(self, data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(data)
            return connection.recv(65536)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    layout = Layout(tmp_path_factory.mktemp("gate"))
    layout.prepare()
    records.spawn_module(layout, "mainline.local.gateway", records.GATEWAY, "--port", "0")
    end = time.monotonic() + 10
    while not records.read_record(layout, records.GATEWAY):
        assert time.monotonic() < end, layout.log(records.GATEWAY).read_text()
        time.sleep(0.01)
    yield Gate(layout)
    records.terminate(records.read_records(layout), 5)
    assert layout.log(records.GATEWAY).read_text() == ""


def to(*services: str | tuple[str, int], **more: Any) -> Rule:
    pairs = [(name, 1) if isinstance(name, str) else name for name in services]
    matches = (Match("/v2/models/iris", headers=more.pop("headers", ())),)
    return Rule(matches, tuple(Backend(name, weight) for name, weight in pairs), **more)


def test_own_paths_answer_for_the_gateway_itself(gate: Gate) -> None:
    assert gate.get("/v2")["name"] == "mainline-gateway"
    assert gate.get("/v2/health/ready") == {"ready": True}
    assert gate.get("/v2/health/live") == {"live": True}
    assert gate.refused("POST", "/v2/health/live") == (405, "POST is not for /v2/health/live; use GET")


def test_weights_are_exact_shares(gate: Gate) -> None:
    with backend(response(b'"a"')) as a, backend(response(b'"b"')) as b:
        gate.show([to(("a", 70), ("b", 30))], a=[a.url], b=[b.url])
        answers = Counter(gate.ask("POST", INFER, b"{}")[2] for _ in range(50))
    assert answers == {b'"a"': 35, b'"b"': 15}


def test_a_path_without_a_route_is_404(gate: Gate) -> None:
    gate.show([to("a")], a=[])
    assert gate.refused("GET", "/v2/models/iris2") == (404, "no route for /v2/models/iris2")
    assert gate.refused("GET", "/v1/models/iris?x=1") == (404, "no route for /v1/models/iris")


def test_path_query_body_and_headers_arrive_unchanged_without_those_of_the_connection(gate: Gate) -> None:
    with backend(response()) as a:
        gate.show([to("a")], a=[a.url])
        path = "/v2/models/iris/versions/1%2F2/infer?a=%20b&c=%C3%A9"
        gate.ask(
            "POST",
            path,
            b"body",
            x_trace="7",
            content_type="text/x",
            connection="x-drop",
            x_drop="1",
            te="trailers",
        )
    head, _, body = a.seen[0].partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == f"post {path} http/1.1".lower()
    assert {"x-trace: 7", "content-type: text/x", "content-length: 4", "accept-encoding: identity"} < set(
        lines
    )
    assert not [line for line in lines if line.startswith(("x-drop", "te:", "connection"))]
    assert body == b"body"


def test_status_headers_and_bytes_of_the_answer_arrive_unchanged(gate: Gate) -> None:
    squeezed = b"\x1f\x8b not unpacked on the way"
    told = (
        "content-encoding: gzip",
        "x-model-digest: sha256:1",
        "keep-alive: timeout=5",
        "set-cookie: a",
        "set-cookie: b",
    )
    with backend(response(squeezed, "422 Strange", *told)) as a:
        gate.show([to("a")], a=[a.url])
        status, headers, body = gate.ask("POST", INFER, b"{}")
    assert (status, body) == (422, squeezed)
    assert headers["content-encoding"] == "gzip"
    assert headers["x-model-digest"] == "sha256:1"
    assert "keep-alive" not in headers


def test_a_head_request_has_the_length_and_no_body(gate: Gate) -> None:
    with backend(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nx-model-digest: d\r\n\r\n") as a:
        gate.show([to("a")], a=[a.url])
        status, headers, body = gate.ask("HEAD", "/v2/models/iris")
    assert (status, headers["content-length"], headers["x-model-digest"], body) == (200, "12", "d", b"")


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_bodies_of_any_size_arrive_both_ways(gate: Gate, size: int) -> None:
    with backend(lambda request: response(request.partition(b"\r\n\r\n")[2])) as a:
        gate.show([to("a")], a=[a.url])
        body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        assert gate.ask("POST", INFER, body)[2] == body


def test_an_answer_in_chunks_arrives_whole(gate: Gate) -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with backend(chunked) as a:
        gate.show([to("a")], a=[a.url])
        assert gate.ask("POST", INFER, b"{}")[2] == b"abcde"


def test_a_body_above_16_mib_is_413_with_and_without_a_length(gate: Gate) -> None:
    gate.show([to("a")], a=[])
    reason = "the body is larger than 16777216 bytes; send less in one request"
    head = b"POST /v2/models/iris/infer HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 16777217\r\n\r\n"
    answer = gate.raw(head)
    assert answer.startswith(b"HTTP/1.1 413")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": reason}
    for more in (
        {"body": iter([b"x" * 1_000_000] * 17)},
        {"body": b"x" * 17_000_000},
    ):
        status, _, body = gate.ask("POST", INFER, **more)
        assert (status, json.loads(body)) == (413, {"error": reason})


def test_a_client_that_waits_for_100_continue_gets_it(gate: Gate) -> None:
    with backend(lambda request: response(request.partition(b"\r\n\r\n")[2])) as a:
        gate.show([to("a")], a=[a.url])
        with socket.create_connection(("127.0.0.1", gate.port), timeout=5) as connection:
            connection.sendall(b"POST /v2/models/iris/infer HTTP/1.1\r\nhost: x\r\n")
            connection.sendall(b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n")
            assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b"{}")
            assert connection.recv(1000).endswith(b"\r\n\r\n{}")


def test_a_connection_closed_without_a_byte_is_asked_again_elsewhere(gate: Gate) -> None:
    with backend(lambda _: None) as broken, backend(response(b'"ok"')) as whole:
        gate.show([to("a")], a=[broken.url, whole.url])
        assert {gate.ask("POST", INFER, b"{}")[2] for _ in range(6)} == {b'"ok"'}
        assert broken.seen


def test_an_endpoint_that_nobody_listens_on_is_skipped(gate: Gate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        dead = f"http://127.0.0.1:{gone.getsockname()[1]}"
    with backend(response(b'"ok"')) as whole:
        gate.show([to("a")], a=[dead, whole.url])
        assert {gate.ask("POST", INFER, b"{}")[2] for _ in range(6)} == {b'"ok"'}


def test_a_server_that_closes_every_time_is_502_after_a_few_tries(gate: Gate) -> None:
    with backend(lambda _: None) as broken:
        gate.show([to("a")], a=[broken.url])
        status, reason = gate.refused("POST", INFER)
    assert (status, reason) == (502, "a broke off its answer")
    assert len(broken.seen) == 4


def test_an_answer_that_breaks_off_is_502_and_not_asked_again(gate: Gate) -> None:
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nhalf"
    with backend(half) as broken:
        gate.show([to("a")], a=[broken.url])
        assert gate.refused("POST", INFER) == (502, "a broke off its answer")
    assert len(broken.seen) == 1


def test_a_backend_that_is_too_slow_is_504(gate: Gate) -> None:
    release = threading.Event()
    with backend(lambda _: response() if release.wait(10) else None) as slow:
        gate.show([to("a", timeout=0.2)], a=[slow.url])
        assert gate.refused("POST", INFER) == (504, "a did not answer in time")
        release.set()


def test_no_endpoint_is_503_after_patience_with_the_time_to_come_back(gate: Gate) -> None:
    gate.show([to("a")], a=[])
    begin = time.monotonic()
    status, headers, body = gate.ask("POST", INFER, b"{}")
    assert (status, headers["retry-after"]) == (503, "1")
    assert json.loads(body) == {"error": "a has no endpoint that answers; it is started again or replaced"}
    assert 4.5 < time.monotonic() - begin < 8


def test_a_request_waits_for_an_endpoint_and_follows_the_route_that_moved(gate: Gate) -> None:
    gate.show([to("a")], a=[])
    answers: list[bytes] = []
    waiting = threading.Thread(target=lambda: answers.append(gate.ask("POST", INFER, b"{}")[2]))
    waiting.start()
    time.sleep(0.2)
    with backend(response(b'"b"')) as b:
        gate.show([to("b")], b=[b.url])
        waiting.join(5)
    assert answers == [b'"b"']


def test_a_mirror_gets_a_copy_and_its_failure_reaches_nobody(gate: Gate) -> None:
    with (
        backend(response(b'"a"')) as a,
        backend(response(b"no", "500 Oh")) as b,
        backend(lambda _: None) as c,
    ):
        gate.show(
            [to("a", mirrors=(Mirror("b"), Mirror("c", 50.0), Mirror("none")))],
            a=[a.url],
            b=[b.url],
            c=[c.url],
        )
        answers = {gate.ask("POST", INFER, b'{"n": %d}' % n)[::2] for n in range(8)}
        end = time.monotonic() + 5
        while (len(b.seen), len(c.seen)) != (8, 4) and time.monotonic() < end:
            time.sleep(0.01)
    assert answers == {(200, b'"a"')}
    assert {request.partition(b"\r\n\r\n")[2] for request in b.seen} == {b'{"n": %d}' % n for n in range(8)}
    assert len(c.seen) == 4


def test_in_flight_is_counted_by_service_and_endpoint(gate: Gate) -> None:
    release = threading.Event()
    with backend(lambda _: response() if release.wait(10) else None) as slow:
        gate.show([to("a")], a=[slow.url])
        asking = threading.Thread(target=lambda: gate.ask("POST", INFER, b"{}"))
        asking.start()
        end = time.monotonic() + 5
        while not slow.seen and time.monotonic() < end:
            time.sleep(0.01)
        state = gate.get("/-/gateway")
        release.set()
        asking.join(5)
        assert (state["inflight"], state["endpoints"]) == ({"a": 1}, {slow.url: 1})
    assert gate.get("/-/gateway")["inflight"] == {"a": 0}


def test_metrics_name_route_service_and_code(gate: Gate) -> None:
    with backend(response()) as a:
        gate.show([to("metered")], metered=[a.url])
        for _ in range(3):
            gate.ask("POST", INFER, b"{}")
    text = gate.ask("GET", "/metrics")[2].decode()
    assert 'gateway_requests_total{code="200",route="models/iris",service="metered"} 3.0' in text
    assert 'gateway_request_duration_seconds_count{route="models/iris"}' in text


def test_objects_that_nobody_can_read_leave_no_route_and_a_living_gateway(gate: Gate) -> None:
    gate.show([to("a")], a=[])
    gate.layout.objects.write_text('{"generation": "x", "routes": [')
    end = time.monotonic() + 5
    while gate.get("/-/gateway")["generation"] != 0 and time.monotonic() < end:
        time.sleep(0.01)
    assert gate.refused("POST", INFER)[0] == 404


def test_a_second_gateway_and_a_taken_port_end_with_one_line(gate: Gate, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mainline.local.gateway"]
    pid = records.read_record(gate.layout, records.GATEWAY)
    assert pid
    second = subprocess.run([*command, str(gate.layout.root)], capture_output=True, text=True, check=False)
    assert (second.returncode, second.stderr) == (
        1, f"gateway: another gateway (pid {pid.pid}) runs for {gate.layout.root}; stop it first\n"
    )  # fmt: skip
    taken = subprocess.run(
        [*command, str(tmp_path), "--port", str(gate.port)], capture_output=True, text=True, check=False
    )
    why = f"port {gate.port} of 127.0.0.1 cannot be used (Address already in use)"
    mend = "free it, or take any free one: make up PORT=0"
    assert (taken.returncode, taken.stderr) == (1, f"gateway: {why}; {mend}\n")


@pytest.mark.parametrize("program", ["mainline.local.agent", "mainline.local.gateway"])
def test_a_place_that_cannot_be_written_is_said_in_one_line(tmp_path: Path, program: str) -> None:
    (tmp_path / ".mainline").write_text("a file")
    done = subprocess.run(
        [sys.executable, "-m", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    name, place = program.rpartition(".")[2], tmp_path / ".mainline"
    assert done.stderr.startswith(f"{name}: {place}: cannot be written (Not a directory); make it writable")
    assert done.stderr.count("\n") == 1
