"""A fetch over the network: it goes on from where it was stopped, and the store can do nothing that is believed."""

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import v2serve.store
from tests.v2serve.stores import BUCKET, Bucket, serving, until
from v2serve.artifact import ArtifactError, verify, write_sums
from v2serve.fetch import FetchError, fetch

BIG = os.urandom(6 << 20)
LABELS = [f"label-{number}.txt" for number in range(6)]


@dataclass
class Remote:
    bucket: Bucket
    folder: Path
    digest: str
    destination: Path

    @property
    def uri(self) -> str:
        return f"s3://{BUCKET}/iris/{self.folder.name}"

    @property
    def staging(self) -> Path:
        return self.destination.parent / f".v2serve-partial-{self.destination.name}-{self.folder.name[:16]}"

    def command(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "v2serve", "fetch", self.uri, str(self.destination)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.bucket.environment(), stdout=pipe, stderr=pipe, text=True)

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        """Start a fetch, stop it while the big file is half there, and say how it ended."""
        self.bucket.hold = "model.onnx"
        process = self.command()
        until(self.bucket.holding.is_set)
        until(lambda: (self.staging / "model.onnx").stat().st_size >= 1 << 20)
        until(
            lambda: all(
                (self.staging / name).exists() and (self.staging / name).stat().st_size for name in LABELS
            )
        )
        process.send_signal(number)
        words = process.communicate(timeout=10)[1]
        self.bucket.released.set()
        self.bucket.hold = None
        self.bucket.asked.clear()
        return process.returncode, words


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    folder = tmp_path / "bucket" / "iris" / "new"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(BIG)
    for name in LABELS:
        (folder / name).write_bytes(b"setosa\n")
    digest = write_sums(folder)
    folder = folder.rename(folder.with_name(digest.removeprefix("sha256:")))
    (tmp_path / "models").mkdir()
    with serving(tmp_path / "bucket") as bucket:
        for name, value in bucket.environment().items():
            monkeypatch.setenv(name, value)
        yield Remote(bucket, folder, digest, tmp_path / "models" / "iris")


def test_an_artifact_comes_from_s3_as_the_aws_variables_say(remote: Remote) -> None:
    told: list[tuple[str, int, bool]] = []
    assert fetch(remote.uri, remote.destination, tell=lambda *what: told.append(what)) == remote.digest
    verify(remote.destination, remote.digest)
    assert ("model.onnx", len(BIG), True) in told
    assert len([verified for _, _, verified in told if verified]) == len(LABELS) + 1
    assert remote.bucket.busiest <= 4


def test_an_endpoint_as_kserve_gives_it_is_enough(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    monkeypatch.setenv("AWS_ENDPOINT_URL", remote.bucket.environment()["AWS_ENDPOINT"])
    monkeypatch.delenv("AWS_ENDPOINT")
    monkeypatch.delenv("AWS_SKIP_SIGNATURE")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "user")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "word")
    assert fetch(remote.uri, remote.destination) == remote.digest


def test_no_more_than_four_files_come_at_once_and_not_fewer(remote: Remote) -> None:
    remote.bucket.pause = 0.1
    fetch(remote.uri, remote.destination)
    assert remote.bucket.busiest == 4


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_stopped_fetch_looks_unfinished_and_the_next_one_goes_on(
    remote: Remote, number: signal.Signals
) -> None:
    code, words = remote.stop(number)
    assert code == (-9 if number == signal.SIGKILL else 128 + number)
    assert [line for line in words.splitlines() if not line.endswith(" verified")] == []
    assert not (remote.destination / "SHA256SUMS").exists()
    there = (remote.staging / "model.onnx").stat().st_size
    assert 1 << 20 <= there < len(BIG)
    assert fetch(remote.uri, remote.destination) == remote.digest
    assert remote.bucket.bodies("model.onnx") == [there]
    assert remote.bucket.bodies("label-0.txt") == []  # it verified where it lay
    assert not remote.staging.exists()


def test_bytes_that_changed_between_two_fetches_are_fetched_again_from_the_first(remote: Remote) -> None:
    remote.staging.mkdir()
    (remote.staging / "model.onnx").write_bytes(b"of another upload" * 100_000)
    assert fetch(remote.uri, remote.destination) == remote.digest
    assert remote.bucket.bodies("model.onnx") == [1_700_000, 0]


def test_a_part_that_is_longer_than_the_file_is_thrown_away(remote: Remote) -> None:
    remote.staging.mkdir()
    (remote.staging / "model.onnx").write_bytes(bytes(len(BIG) + 1))
    assert fetch(remote.uri, remote.destination) == remote.digest
    assert remote.bucket.bodies("model.onnx") == [0]


def test_wrong_bytes_of_the_store_are_refused_after_one_more_try_and_not_kept(remote: Remote) -> None:
    (remote.folder / "model.onnx").write_bytes(BIG[:-1] + bytes([BIG[-1] ^ 1]))
    remote.staging.mkdir()
    (remote.staging / "model.onnx").write_bytes(BIG[: 2 << 20])
    with pytest.raises(ArtifactError, match=r"^model.onnx: SHA256SUMS names sha256:.* the store's bytes are"):
        fetch(remote.uri, remote.destination)
    assert remote.bucket.bodies("model.onnx") == [2 << 20, 0]
    assert not remote.staging.exists()
    assert list(remote.destination.iterdir()) == []


def test_a_server_that_is_busy_for_a_moment_is_asked_again(remote: Remote) -> None:
    remote.bucket.statuses = [503, 500]
    assert fetch(remote.uri, remote.destination) == remote.digest
    assert remote.bucket.bodies("SHA256SUMS") == [0, 0, 0]


def test_a_server_that_stays_broken_is_one_line_after_a_few_tries(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(v2serve.store._RETRIES, "max_retries", 1)
    remote.bucket.statuses = [500] * 20
    with pytest.raises(FetchError, match=r"^s3://models/iris/[0-9a-f]{64}: SHA256SUMS: ") as told:
        fetch(remote.uri, remote.destination)
    assert "\n" not in str(told.value)
    assert len(remote.bucket.asked) == 2


def test_a_connection_that_breaks_again_and_again_goes_on_as_long_as_bytes_come(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(v2serve.store._RETRIES, "max_retries", 0)
    remote.bucket.cut = 2 << 20
    assert fetch(remote.uri, remote.destination) == remote.digest
    starts = remote.bucket.bodies("model.onnx")
    assert starts == sorted(starts)
    assert len(starts) >= 3


def test_a_connection_that_breaks_before_a_byte_comes_is_an_error(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(remote.uri, remote.destination.with_name("sums"))
    monkeypatch.setitem(v2serve.store._RETRIES, "max_retries", 0)
    remote.bucket.cut = 0
    with pytest.raises(FetchError, match=r"^s3://models/iris/[0-9a-f]{64}: SHA256SUMS: "):
        fetch(remote.uri, remote.destination)


def test_two_fetches_at_once_read_the_store_once(remote: Remote) -> None:
    remote.bucket.hold = "model.onnx"
    first = remote.command()
    until(remote.bucket.holding.is_set)
    second = remote.command()
    until(lambda: len(remote.bucket.asked) >= len(LABELS) + 2)
    remote.bucket.released.set()
    said = [process.communicate(timeout=30) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], said
    assert remote.bucket.bodies("model.onnx") == [0]
    assert [path.name for path in remote.destination.parent.iterdir()] == ["iris"]


def test_parts_of_other_digests_go_unless_another_process_is_at_them(remote: Remote) -> None:
    home = remote.destination.parent
    left, used, of_another_model = (
        home / f".v2serve-partial-{name}"
        for name in ("iris-" + "1" * 16, "iris-" + "2" * 16, "iris-big-" + "3" * 16)
    )
    for folder in (left, used, of_another_model):
        folder.mkdir()
    handle = os.open(used, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        fetch(remote.uri, remote.destination)
    finally:
        os.close(handle)
    assert [folder.exists() for folder in (left, used, of_another_model)] == [False, True, True]


def test_a_link_in_the_part_is_not_followed(remote: Remote, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("keep me")
    remote.staging.mkdir()
    (remote.staging / "model.onnx").symlink_to(mine)
    (remote.staging / "not-named.txt").write_text("left by something")
    assert fetch(remote.uri, remote.destination) == remote.digest
    assert mine.read_text() == "keep me"
    verify(remote.destination, remote.digest)


def test_a_fetch_that_was_stopped_while_it_filled_a_mount_point_fetches_nothing_twice(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda path: path == remote.destination)
    remote.destination.mkdir()
    (remote.destination / "model.onnx").write_bytes(BIG)
    assert fetch(remote.uri, remote.destination) == remote.digest
    assert remote.bucket.bodies("model.onnx") == []
    verify(remote.destination, remote.digest)


def test_a_file_larger_than_allowed_is_one_line_with_the_fix(remote: Remote) -> None:
    script = (
        "import resource, runpy, sys;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20));"
        "runpy.run_module('v2serve', run_name='__main__')"
    )
    command = [sys.executable, "-c", script, "fetch", remote.uri, str(remote.destination)]
    done = subprocess.run(
        command, env=remote.bucket.environment(), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if not line.endswith(" verified")]
    assert re.fullmatch(
        r"v2serve: s3://\S+: \S+/model.onnx: File too large; raise the limit of file sizes", line
    )


def test_256_mebibytes_pass_through_little_memory(remote: Remote, tmp_path: Path) -> None:
    size = 256 << 20
    folder = tmp_path / "bucket" / "iris" / "large"
    folder.mkdir()
    with (folder / "model.onnx").open("wb") as stream:
        stream.truncate(size)
    remote.digest = write_sums(folder)
    remote.folder = folder.rename(folder.with_name(remote.digest.removeprefix("sha256:")))
    script = (
        "import sys; from pathlib import Path; from v2serve.fetch import fetch;"
        "fetch(sys.argv[1], Path(sys.argv[2]));"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"  # ru_maxrss outlives an exec
    )
    done = subprocess.run(
        [sys.executable, "-c", script, remote.uri, str(remote.destination)],
        env=remote.bucket.environment(), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert (remote.destination / "model.onnx").stat().st_size == size
    assert int(done.stdout) < 64 << 10  # KiB
