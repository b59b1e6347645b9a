"""Clients that other people wrote work with v2serve unchanged."""

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.conformance.models import mixed
from tests.v2serve.servers import Running

CLIENTS = Path(__file__).parent / "clients"
NAMES = ("kserve_rest", "kserve_grpc", "triton_http", "triton_grpc")


def _behaviours() -> list[tuple[str, str]]:
    found = {name: (CLIENTS / f"{name}.py").read_text("utf-8") for name in NAMES}
    return [
        (name, said)
        for name, text in found.items()
        for said in re.findall(r"^(?:async )?def ([a-z]\w+)", text, re.M)
    ]


@cache
def _outcomes(name: str, port: int) -> dict[str, str]:
    command = [sys.executable, "-m", f"tests.conformance.clients.{name}", str(port)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, cwd=CLIENTS.parents[2]
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.parametrize(("client", "behaviour"), _behaviours())
def test_a_client_works_unchanged(client: str, behaviour: str, v2serve: Running) -> None:
    assert _outcomes(client, v2serve.port)[behaviour] == "ok"


def _curl(*words: str, content: bytes = b"") -> str:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "10", *words], input=content, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2", "--http2-prior-knowledge"])
def test_curl_infers_with_each_version_of_http(version: str, v2serve: Running) -> None:
    body = json.dumps({"id": "7", "inputs": list(mixed().golden)}).encode()
    url = f"http://127.0.0.1:{v2serve.port}/v2/models/iris/infer"
    said = _curl(version, "--json", "@-", "-w", "\n%{http_code}", url, content=body)
    answer, _, status = said.rpartition("\n")
    assert status == "200"
    assert json.loads(answer)["id"] == "7"


def test_curl_reads_a_compressed_answer(v2serve: Running) -> None:
    body = json.dumps({"id": "7" * 1000, "inputs": list(mixed().golden)}).encode()
    url = f"http://127.0.0.1:{v2serve.port}/v2/models/iris/infer"
    said = _curl("--compressed", "-H", "expect: 100-continue", "--json", "@-", url, content=body)
    assert json.loads(said)["id"] == "7" * 1000
