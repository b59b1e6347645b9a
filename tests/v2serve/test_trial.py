"""A fetch that tries what it brought refuses what a server would refuse, and is silent about what it cannot know."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.v2serve.artifacts import iris, write
from v2serve.artifact import ArtifactError, write_sums
from v2serve.trial import try_out

GROUPS = pytest.mark.parametrize("file", ["memory.max", "memory/memory.limit_in_bytes"])


def _limited(root: Path, file: str, limit: str) -> Path:
    path = root / "sys/fs/cgroup" / file
    path.parent.mkdir(parents=True)
    path.write_text(f"{limit}\n")
    return root


def _fetched(stored: Path, tmp_path: Path) -> "subprocess.CompletedProcess[str]":
    digest = write_sums(stored)
    stored = stored.rename(stored.with_name(digest.removeprefix("sha256:")))
    command = [sys.executable, "-m", "v2serve", "fetch", "--try", stored.as_uri(), str(tmp_path / "here")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_model_that_gives_its_reviewed_answers_is_good(tmp_path: Path) -> None:
    write(tmp_path / "iris", iris())
    assert try_out(tmp_path / "iris", tmp_path) is None


def test_a_graph_that_is_none_is_refused_by_the_command(tmp_path: Path) -> None:
    stored = tmp_path / "store"
    write(stored, iris())
    (stored / "model.onnx").write_bytes(b"not a graph")
    (stored / "SHA256SUMS").unlink()
    done = _fetched(stored, tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("v2serve: model.onnx: ")
    assert "INVALID_PROTOBUF" in last


def test_another_answer_than_the_reviewed_one_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "iris", iris())
    (tmp_path / "iris" / "model.onnx").write_bytes(iris(5.0).onnx().SerializeToString())
    with pytest.raises(ArtifactError, match=r"golden\.json: output .* is not the reviewed"):
        try_out(tmp_path / "iris", tmp_path)


def test_a_golden_request_that_compares_too_little_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "iris", iris())
    golden = tmp_path / "iris" / "golden.json"
    golden.write_text(golden.read_text().partition('"response"')[0] + '"response": {"outputs": []}}')
    with pytest.raises(ArtifactError, match="a response has no outputs, so nothing is compared"):
        try_out(tmp_path / "iris", tmp_path)


def test_code_is_left_to_the_server(tmp_path: Path) -> None:
    stored = tmp_path / "store"
    write(stored, iris())
    (stored / "model.py").write_text("raise SystemExit('it ran')\n")
    (stored / "SHA256SUMS").unlink()
    done = _fetched(stored, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not tried: model.py runs only in the server, which has no keys of the store\n" in done.stderr


@GROUPS
def test_a_model_that_may_not_fit_beside_the_fetch_is_left_to_the_server(file: str, tmp_path: Path) -> None:
    write(tmp_path / "iris", iris())
    root = _limited(tmp_path, file, str(90 << 20))
    assert try_out(tmp_path / "iris", root) == "96 MiB may be needed, and the limit is 90 MiB"


@pytest.mark.parametrize("limit", ["max", str(256 << 20)])
def test_a_model_that_fits_is_tried(limit: str, tmp_path: Path) -> None:
    write(tmp_path / "iris", iris())
    assert try_out(tmp_path / "iris", _limited(tmp_path, "memory.max", limit)) is None
