"""The artifact: one digest rule for trainkit, v2serve and coreutils."""

import subprocess
from pathlib import Path

import pytest

from trainkit.artifact import SUMS, emptied, verified_digest, write_sums
from trainkit.documents import write_json
from trainkit.errors import TrainError
from v2serve.artifact import ArtifactError, verify


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = emptied(tmp_path / "artifact")
    (folder / "nested").mkdir()
    for name in ("b.json", "a.json", "Z.md", "nested/a.bin"):
        (folder / name).write_text(name, encoding="utf-8")
    return folder


def test_coreutils_agree_with_the_digest(artifact: Path) -> None:
    digest = write_sums(artifact)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", SUMS], cwd=artifact, check=True)
    printed = subprocess.run(["sha256sum", SUMS], cwd=artifact, check=True, capture_output=True, text=True)
    assert digest == f"sha256:{printed.stdout.split()[0]}"


def test_the_server_agrees_with_the_digest(artifact: Path) -> None:
    digest = write_sums(artifact)
    verify(artifact, digest)
    (artifact / "a.json").write_text("other", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"a\.json: changed"):
        verify(artifact, digest)


def test_equal_files_have_equal_digests_in_any_folder(artifact: Path, tmp_path: Path) -> None:
    first = write_sums(artifact)
    moved = artifact.rename(tmp_path / "elsewhere")
    assert write_sums(moved) == first == verified_digest(moved)


@pytest.mark.parametrize("change", ["other bytes", "a new file"])
def test_an_artifact_that_changed_after_export_is_refused(artifact: Path, change: str) -> None:
    write_sums(artifact)
    (artifact / ("a.json" if change == "other bytes" else "new.json")).write_text("x", encoding="utf-8")
    with pytest.raises(TrainError, match="was changed after export"):
        verified_digest(artifact)


def test_a_folder_without_sums_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=f"is not an artifact, it has no {SUMS}"):
        verified_digest(tmp_path)


def test_an_emptied_folder_keeps_nothing_of_an_earlier_run(artifact: Path) -> None:
    assert list(emptied(artifact).iterdir()) == []


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"metrics": {"accuracy": float("nan")}}, r"evidence\.json: metrics\.accuracy is nan"),
        ({"features": [{"shares": [0.5, float("inf")]}]}, r"features\[0\]\.shares\[1\] is inf"),
        (float("-inf"), "it is -inf"),
    ],
)
def test_a_number_that_json_does_not_have_is_named_with_its_place(
    tmp_path: Path, document: object, place: str
) -> None:
    with pytest.raises(TrainError, match=place):
        write_json(tmp_path / "evidence.json", document)
    assert not (tmp_path / "evidence.json").exists()
