"""A fetch brings exactly the bytes that Git names, or leaves nothing."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from v2serve.artifact import ArtifactError, verify, write_sums
from v2serve.fetch import FetchError, _write, digest_of, fetch, resolve
from v2serve.store import reason

OTHER = "sha256:" + "0" * 64


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, str]:
    """A store's folder of one artifact, and its digest."""
    folder = tmp_path / "store" / "iris" / "new"
    (folder / "labels").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(bytes(range(256)) * 12_000)
    (folder / "labels" / "en.txt").write_bytes(b"setosa\n")
    (folder / "empty").write_bytes(b"")
    digest = write_sums(folder)
    return folder.rename(folder.with_name(digest.removeprefix("sha256:"))), digest


def _uri(folder: Path) -> str:
    return folder.as_uri()


def _left(destination: Path) -> list[str]:
    return sorted(path.name for path in destination.parent.iterdir())


def test_the_artifact_arrives_verified_and_alone(stored: tuple[Path, str], tmp_path: Path) -> None:
    folder, digest = stored
    destination = tmp_path / "models" / "iris"
    assert fetch(_uri(folder), destination) == digest
    verify(destination, digest)
    assert _left(destination) == ["iris"]
    assert destination.stat().st_mode & 0o777 == 0o755


def test_what_is_there_already_is_not_fetched_again(stored: tuple[Path, str], tmp_path: Path) -> None:
    folder, digest = stored
    destination = tmp_path / "models" / "iris"
    fetch(_uri(folder), destination)
    folder.rename(tmp_path / "gone")
    assert fetch(_uri(folder), destination) == digest


def test_mainline_uris_are_read_from_the_store_of_the_node(stored: tuple[Path, str], tmp_path: Path) -> None:
    folder, digest = stored
    uri = f"mainline://store/iris/{digest.removeprefix('sha256:')}"
    assert resolve(uri, "s3://bucket/store/") == f"s3://bucket/store/iris/{folder.name}"
    assert fetch(uri, tmp_path / "here", store=(tmp_path / "store").as_uri()) == digest
    with pytest.raises(
        FetchError, match="V2SERVE_STORE is not set; it says what mainline://store stands for"
    ):
        fetch(uri, tmp_path / "there")


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1/store/iris/", "iris/", "hf://org/", "mainline://other/iris/"]
)
def test_a_scheme_that_is_not_offered_is_refused_with_those_that_are(uri: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"not one of file://, s3://, gs://, az://, mainline://store/"):
        fetch(uri + "0" * 64, tmp_path / "x")


def test_a_uri_without_a_digest_needs_one(tmp_path: Path) -> None:
    assert digest_of("s3://b/iris/" + "0" * 64 + "/") == OTHER
    with pytest.raises(FetchError, match="give --digest sha256:<hex>"):
        fetch("file:///store/iris/latest", tmp_path / "x")


@pytest.mark.parametrize("file", ["model.onnx", "labels/en.txt", "empty"])
def test_changed_bytes_in_the_store_are_refused_and_nothing_is_left(
    stored: tuple[Path, str], tmp_path: Path, file: str
) -> None:
    folder, _ = stored
    (folder / file).write_bytes(b"other")
    destination = tmp_path / "models" / "iris"
    with pytest.raises(
        ArtifactError, match=f"^{file}: SHA256SUMS names sha256:.*, but the store's bytes are sha256:"
    ):
        fetch(_uri(folder), destination)
    assert _left(destination) == ["iris"]
    assert list(destination.iterdir()) == []


def test_another_digest_is_refused_before_a_model_byte_is_read(
    stored: tuple[Path, str], tmp_path: Path
) -> None:
    folder, digest = stored
    (folder / "model.onnx").unlink()
    with pytest.raises(ArtifactError, match=f"the release names {OTHER}, but the bytes are {digest}"):
        fetch(_uri(folder), tmp_path / "x", OTHER)


def test_a_file_or_an_artifact_that_is_not_there_is_named(stored: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = stored
    with pytest.raises(FetchError, match=r"/store/none/0+: "):
        fetch((tmp_path / "store" / "none" / ("0" * 64)).as_uri(), tmp_path / "x")
    (folder / "empty").unlink()
    with pytest.raises(FetchError, match=r"empty is not there$"):
        fetch(_uri(folder), tmp_path / "x")


def test_a_destination_with_other_content_is_refused_and_kept(
    stored: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = stored
    destination = tmp_path / "mine"
    destination.mkdir()
    (destination / "thesis.txt").write_text("keep me")
    with pytest.raises(FetchError, match="holds files without SHA256SUMS; remove the folder"):
        fetch(_uri(folder), destination)
    assert (destination / "thesis.txt").read_text() == "keep me"
    write_sums(destination)
    with pytest.raises(ArtifactError, match=r"the release names sha256:.*, but the bytes are sha256:"):
        fetch(_uri(folder), destination)


def test_a_mount_point_is_filled_in_place_even_after_an_interruption(
    stored: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, digest = stored
    volume = tmp_path / "volume"
    (volume / "labels").mkdir(parents=True)
    (volume / "labels" / "en.txt").write_bytes(b"from the fetch that was killed")
    (volume / ".v2serve-partial-x").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: path == volume)
    assert fetch(_uri(folder), volume) == digest
    assert sorted(path.name for path in volume.iterdir()) == ["SHA256SUMS", "empty", "labels", "model.onnx"]


def test_two_fetches_at_once_both_succeed(stored: tuple[Path, str], tmp_path: Path) -> None:
    folder, digest = stored
    command = [sys.executable, "-m", "v2serve", "fetch", _uri(folder), str(tmp_path / "models" / "iris")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=30) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert all(out.decode().startswith(digest) for out, _ in said)
    assert _left(tmp_path / "models" / "iris") == ["iris"]


def test_the_command_line_tells_one_line_and_exits_1(stored: tuple[Path, str], tmp_path: Path) -> None:
    folder, digest = stored
    command = [sys.executable, "-m", "v2serve", "fetch", _uri(folder), str(tmp_path / "x"), "--digest", OTHER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr == f"v2serve: the release names {OTHER}, but the bytes are {digest}\n"


def test_a_full_disk_is_told_with_the_file_and_the_fix(tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="No space left on device") as told:
            _write(full, b"weights", tmp_path / "model.onnx")
    finally:
        os.close(full)
    assert told.value.filename == str(tmp_path / "model.onnx")
    assert reason(told.value) == "No space left on device; free space there, or give the volume more"


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.EROFS, "Read-only file system; mount it writable, or name another folder"),
        (errno.EACCES, "Permission denied; let this user write there, or name another folder"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_folder_that_cannot_be_written_is_told_with_what_to_do(number: int, fix: str) -> None:
    assert reason(OSError(number, os.strerror(number), "/mnt/models")) == fix


def test_a_destination_below_a_file_is_one_line(stored: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FetchError, match=r"/file/iris: Not a directory$"):
        fetch(_uri(stored[0]), tmp_path / "file" / "iris")
