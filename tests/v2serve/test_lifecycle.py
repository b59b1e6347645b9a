"""A server starts fast or says in one line why not, and stops without failing a caller."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.v2serve.artifacts import iris, write
from tests.v2serve.conftest import Artifact
from tests.v2serve.servers import Running, await_ready, environment, free_port, refused, running
from v2serve.artifact import write_sums

REQUEST = {
    "inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}],
}


def test_other_bytes_than_git_names_are_refused_with_both_digests(artifact: Artifact) -> None:
    other = "sha256:" + "0" * 64
    line = refused(environment(artifact.folder, other, free_port()))
    assert line == f"v2serve: model iris: the release names {other}, but the bytes are {artifact.digest}"


def test_a_changed_file_is_refused_by_name(tmp_path: Path) -> None:
    digest = write(tmp_path, iris())
    (tmp_path / "golden.json").write_text("{}")
    line = refused(environment(tmp_path, digest, free_port()))
    assert line.startswith("v2serve: model iris: golden.json: changed; SHA256SUMS names sha256:")


def test_an_artifact_that_does_not_load_is_refused_by_its_file(tmp_path: Path) -> None:
    write(tmp_path, iris())
    (tmp_path / "model.onnx").write_bytes(b"no model")
    line = refused(environment(tmp_path, write_sums(tmp_path), free_port()))
    assert line.startswith("v2serve: model iris: model.onnx: ")


def test_a_taken_port_is_refused_by_its_number(artifact: Artifact, server: Running) -> None:
    line = refused(environment(*artifact, server.port))
    assert (
        line == f"v2serve: V2SERVE_PORT: 127.0.0.1 port {server.port}: Address already in use; choose another"
    )
    assert server.ask("/v2/health/ready").status == 200


def test_a_bad_setting_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    line = refused(environment(tmp_path, "latest", 1))
    assert line == "v2serve: V2SERVE_MODEL_DIGEST is 'latest'; it takes sha256:<64 lowercase hex digits>"


def test_a_storage_uri_is_fetched_before_serving(artifact: Artifact, tmp_path: Path) -> None:
    store = tmp_path / "store" / "iris" / artifact.digest.removeprefix("sha256:")
    store.parent.mkdir(parents=True)
    store.symlink_to(artifact.folder)
    told = {
        "V2SERVE_STORAGE_URI": f"mainline://store/iris/{store.name}",
        "V2SERVE_STORE": f"file://{tmp_path}/store",
    }
    with running(tmp_path / "models", artifact.digest, **told) as server:
        assert server.infer(REQUEST).status == 200
        assert (tmp_path / "models" / "model.onnx").is_file()


def test_a_store_without_the_artifact_is_refused_by_its_uri(tmp_path: Path) -> None:
    digest = "sha256:" + "0" * 64
    told = environment(
        tmp_path / "models", digest, free_port(), V2SERVE_STORAGE_URI=f"file://{tmp_path}/{'0' * 64}"
    )
    assert f"file://{tmp_path}/{'0' * 64}: " in refused(told)


def test_a_server_without_a_version_shows_none(artifact: Artifact) -> None:
    with running(*artifact, V2SERVE_MODEL_VERSION="", V2SERVE_MODEL_RUN="") as server:
        metadata = server.ask("/v2/models/iris").json
        assert "versions" not in metadata
        assert metadata["properties"] == {"digest": artifact.digest}
        assert "model_version" not in server.infer(REQUEST).json
        assert server.ask("/v2/models/iris/versions/1").error.endswith(
            "is not served here; it has no version"
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_server_ends_with_0_and_frees_its_port(artifact: Artifact, number: signal.Signals) -> None:
    with running(*artifact) as server:
        server.process.send_signal(number)
        assert server.process.wait(timeout=10) == 0
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", server.port))


def test_a_draining_server_is_not_ready_but_still_answers(artifact: Artifact) -> None:
    with running(*artifact, V2SERVE_DRAIN_SECONDS="1.5") as server:
        server.process.terminate()
        time.sleep(0.3)
        ready, model, answer = (
            server.ask("/v2/health/ready"),
            server.ask("/v2/models/iris/ready"),
            server.infer(REQUEST),
        )
        assert (ready.status, ready.json["ready"], model.status) == (503, False, 503)
        assert ready.json["error"] == "draining: the server was told to stop"
        assert server.ask("/v2/health/live").status == 200
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert server.process.wait(timeout=10) == 0


def test_a_request_that_is_still_arriving_is_answered_before_the_end(artifact: Artifact) -> None:
    content = json.dumps(REQUEST).encode()
    with running(*artifact) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow:
            head = f"POST /v2/models/iris/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n\r\n"
            slow.sendall(head.encode() + content[:20])
            time.sleep(0.2)
            server.process.terminate()
            time.sleep(0.8)  # well past the grace of 0.1 s
            slow.sendall(content[20:])
            assert slow.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(timeout=10) == 0


def test_an_upload_that_never_ends_does_not_keep_the_server(artifact: Artifact) -> None:
    with running(*artifact) as server, socket.create_connection(("127.0.0.1", server.port)) as stuck:
        stuck.sendall(b"POST /v2/models/iris/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{")
        time.sleep(0.2)
        server.process.terminate()
        assert server.process.wait(timeout=10) == 0


@dataclass
class Caller:
    """Keeps a connection while it may; connects again when it must; ends when nobody listens."""

    port: int
    answered: int = 0
    failures: list[str] = field(default_factory=list)

    def run(self) -> None:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                connection.connect()
            except ConnectionRefusedError:
                return
            try:
                self._keep_asking(connection)
            finally:
                connection.close()

    def _keep_asking(self, connection: http.client.HTTPConnection) -> None:
        body, headers = json.dumps(REQUEST), {"content-type": "application/json"}
        for _ in range(1000):
            try:
                connection.request("POST", "/v2/models/iris/infer", body, headers)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                return
            if answer.status != 200:
                self.failures.append(str(answer.status))
            self.answered += 1
            if answer.will_close:
                return


def test_no_request_fails_while_a_server_under_load_is_stopped(artifact: Artifact) -> None:
    with running(*artifact, V2SERVE_DRAIN_SECONDS="0.4") as server:
        callers = [Caller(server.port) for _ in range(8)]
        threads = [threading.Thread(target=caller.run) for caller in callers]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        server.process.terminate()
        for thread in threads:
            thread.join(timeout=20)
        assert server.process.wait(timeout=10) == 0
    assert sum(caller.answered for caller in callers) > 100
    assert [failure for caller in callers for failure in caller.failures] == []


def test_a_small_model_is_ready_soon_after_its_start(artifact: Artifact) -> None:
    begin = time.perf_counter()
    with running(*artifact):
        seconds = time.perf_counter() - begin
    assert seconds < 3, "one second on an idle machine; three here, for the tests run beside each other"


def test_it_runs_as_the_first_process_of_a_container(artifact: Artifact) -> None:
    probe = ["unshare", "--fork", "--pid", "--kill-child", "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine gives no process namespace")
    port = free_port()
    command = [*probe[:-1], sys.executable, "-m", "v2serve", "serve"]
    process = subprocess.Popen(command, env=environment(*artifact, port), stderr=subprocess.PIPE)
    try:
        server = Running(process, port)
        await_ready(server)
        child = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
        subprocess.run(["kill", "-TERM", child], check=True)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.communicate()
