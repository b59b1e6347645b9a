"""Callers who are many, idle, slow, large or gone: the others are answered, and so are the probes."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.v2serve.conftest import Artifact
from tests.v2serve.servers import Reply, Running, running

REQUEST = {
    "inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}],
}
INFER = "/v2/models/iris/infer"
PROBE = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n"
MEMORY = 256 * 2**20  # what a rendered pod gets


@pytest.fixture(scope="module")
def patient(artifact: Artifact) -> Iterator[Running]:
    """A server with its default limits."""
    with running(*artifact) as started:
        yield started


@pytest.fixture(scope="module")
def impatient(artifact: Artifact) -> Iterator[Running]:
    with running(*artifact, V2SERVE_READ_SECONDS="0.6") as started:
        yield started


def _connect(server: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=5)


def _post(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "host: x", *lines, "", ""]).encode()


def _answer(connection: socket.socket) -> Reply:
    """One answer off the wire; what the socket says of a reset is raised."""
    stream = connection.makefile("rb")
    status = int(stream.readline().split()[1])
    headers = {}
    while line := stream.readline().strip():
        key, _, value = line.decode().partition(": ")
        headers[key.lower()] = value
    return Reply(status, headers, stream.read(int(headers.get("content-length", 0))))


def _idle(server: Running, opened: ExitStack, number: int) -> None:
    for _ in range(number):
        connection = opened.enter_context(_connect(server))
        connection.sendall(PROBE)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_300_idle_connections_starve_nobody(patient: Running) -> None:
    with ExitStack() as opened:
        _idle(patient, opened, 300)
        begin = time.perf_counter()
        assert patient.ask("/v2/health/ready").status == 200
        assert patient.infer(REQUEST).status == 200
        assert time.perf_counter() - begin < 1


@pytest.mark.parametrize("said", [b"", b"GET / HT", PROBE], ids=["nothing", "half a head", "one request"])
def test_a_connection_that_falls_silent_is_closed(impatient: Running, said: bytes) -> None:
    with _connect(impatient) as silent:
        silent.sendall(said)
        while silent.recv(4096):
            pass


@pytest.mark.parametrize("framing", ["content-length: 9", "transfer-encoding: chunked"])
def test_a_body_that_does_not_arrive_is_408(impatient: Running, framing: str) -> None:
    with _connect(impatient) as slow:
        slow.sendall(_post(INFER, framing) + b"3\r\n")
        reply = _answer(slow)
        assert (reply.status, reply.headers["connection"]) == (408, "close")
        assert reply.error == "the body did not arrive within 0.6 s (V2SERVE_READ_SECONDS); send it faster"
        assert slow.recv(1) == b""


def test_a_body_that_trickles_in_is_408(impatient: Running) -> None:
    with _connect(impatient) as slow:
        slow.sendall(_post(INFER, "content-length: 1000"))
        for _ in range(5):
            slow.sendall(b" ")
            time.sleep(0.1)
        assert _answer(slow).status == 408


def test_a_body_nobody_wants_is_not_awaited_for_ever(impatient: Running) -> None:
    with _connect(impatient) as slow:
        slow.sendall(_post("/v2/nowhere", "content-length: 9") + b"{")
        reply = _answer(slow)
        assert (reply.status, reply.headers["connection"]) == (404, "close")


def _large(value: str) -> bytes:
    """A request of at most 3.9 MB, all of one value."""
    rows = 3_900_000 // (4 * (len(value) + 1))
    data = ",".join([value] * 4 * rows)
    tensor = f'"name": "features", "datatype": "FP32", "shape": [{rows}, 4], "data": [{data}]'
    return f'{{"inputs": [{{{tensor}}}]}}'.encode()


@pytest.mark.parametrize("value", ["0", "5.1"])
def test_the_largest_body_fits_into_the_memory_and_health_answers_meanwhile(
    artifact: Artifact, value: str
) -> None:
    body, replies = _large(value), list[Reply]()
    with running(*artifact) as server:
        asking = threading.Thread(target=lambda: replies.append(server.infer(body)))
        asking.start()
        waits = []
        while asking.is_alive():
            begin = time.perf_counter()
            assert server.ask("/v2/health/ready").status == 200
            waits.append(time.perf_counter() - begin)
            time.sleep(0.02)
        asking.join()
        assert _peak(server) < MEMORY
    assert replies[0].status == 200
    rows = json.loads(body)["inputs"][0]["shape"][0]
    assert [len(output["data"]) for output in replies[0].json["outputs"]] == [rows, rows, 3 * rows]
    assert max(waits) < 0.5


def _peak(server: Running) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.mark.parametrize(
    ("method", "path", "kind", "status"),
    [
        ("POST", "/v2/nowhere", "application/json", 404),
        ("PUT", INFER, "application/json", 405),
        ("POST", "/v2", "application/json", 405),
        ("POST", INFER, "text/plain", 415),
        ("POST", INFER, "application/json", 413),
        ("POST", "/v2/repository/models/iris/load", "application/json", 501),
    ],
)
def test_an_early_refusal_of_a_large_body_is_heard(
    patient: Running, method: str, path: str, kind: str, status: int
) -> None:
    for _ in range(3):
        assert patient.ask(path, b" " * 5_000_000, method, content_type=kind).status == status


def test_a_chunked_body_far_above_the_limit_is_heard_as_413(server: Running) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with _connect(server) as sending:
        sending.sendall(_post(INFER, "transfer-encoding: chunked") + chunk * 80 + b"0\r\n\r\n")
        assert _answer(sending).error == "the body has more; V2SERVE_MAX_BODY_BYTES allows 65536"


def test_a_body_too_large_to_drop_is_refused_at_once_and_the_connection_closes(patient: Running) -> None:
    with _connect(patient) as sending:
        sending.sendall(_post(INFER, "content-length: 99999999999"))
        reply = _answer(sending)
        assert (reply.status, reply.headers["connection"]) == (413, "close")


@pytest.mark.parametrize(
    ("path", "length", "status"), [(INFER, 5_000_000, 413), ("/v2/nowhere", 5, 404), (INFER, 5, 100)]
)
def test_who_expects_100_continue_hears_a_refusal_instead(
    patient: Running, path: str, length: int, status: int
) -> None:
    with _connect(patient) as waiting:
        waiting.sendall(_post(path, f"content-length: {length}", "expect: 100-continue"))
        assert _answer(waiting).status == status


def test_a_broken_upload_is_400_without_a_traceback(artifact: Artifact) -> None:
    with running(*artifact) as server:
        for framing in ("content-length: 99", "transfer-encoding: chunked"):
            with _connect(server) as gone:
                gone.sendall(_post(INFER, framing) + b"1\r\n{\r\n")
                time.sleep(0.1)
        deadline = time.monotonic() + 5
        while '_requests_total{code="400",model="iris",version="4"} 2.0' not in (
            text := server.ask("/metrics").body.decode()
        ):
            assert time.monotonic() < deadline, text
            time.sleep(0.02)
        assert 'code="500"' not in text
        server.process.terminate()
        assert "Traceback" not in server.process.communicate(timeout=10)[1].decode()


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        (b"zz\r\n", "the request is not HTTP: Invalid character in chunk size"),
        (b"5\r\nab", "the body ended before it was complete; send all of it"),
        (b"", "the body ended before it was complete; send all of it"),
        (b"0\r\nx-sum: 1\r\n", "the body ended before it was complete; send all of it"),
    ],
)
def test_a_chunked_body_is_not_taken_as_whole_unless_it_ends(
    patient: Running, rest: bytes, reason: str
) -> None:
    with _connect(patient) as broken:
        broken.sendall(
            _post(INFER, "transfer-encoding: chunked") + _chunk(json.dumps(REQUEST).encode()) + rest
        )
        broken.shutdown(socket.SHUT_WR)
        reply = _answer(broken)
        assert (reply.status, reply.error) == (400, reason)
