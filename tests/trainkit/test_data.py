"""Data files: whatever they come from, their bytes are the declared ones."""

import hashlib
import io
from pathlib import Path

import pytest

from tests.trainkit.toy import CSV, CSV_SHA256, declare
from trainkit import data
from trainkit.__main__ import main
from trainkit.errors import TrainError
from trainkit.job import Job, read_job

DERIVED = {"name": "a.csv", "sha256": CSV_SHA256, "source": "https://data.example/page"}


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv(data.MIRROR, str(folder))
    return folder


def test_the_mirror_is_asked_first(job: Job, mirror: Path) -> None:
    (mirror / "toy.csv").write_bytes(CSV)
    assert [path.read_bytes() for path in data.fetch(job)] == [CSV]


def test_the_mirror_is_asked_for_the_path_that_is_declared(tmp_path: Path, mirror: Path) -> None:
    (mirror / "set").mkdir()
    (mirror / "set/first.csv").write_bytes(CSV)
    job = read_job(declare(tmp_path, data=[{**DERIVED, "mirror": "set/first.csv"}]))
    assert [path.name for path in data.fetch(job)] == ["a.csv"]


@pytest.mark.parametrize("mirrored", [True, False])
def test_derived_bytes_that_no_mirror_has_are_told_with_digest_and_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirrored: bool
) -> None:
    monkeypatch.delenv(data.MIRROR, raising=False)
    if mirrored:
        monkeypatch.setenv(data.MIRROR, str(tmp_path))
    where = f"it is not in {tmp_path}" if mirrored else "MAINLINE_DATASETS is not set"
    reason = rf"a\.csv: nobody offers these bytes \(sha256 {CSV_SHA256}\), .* https://data\.example/page: .*{where}"
    with pytest.raises(TrainError, match=reason):
        data.fetch(read_job(declare(tmp_path, data=[DERIVED])))


def test_the_licence_is_shown_when_data_is_fetched(
    tmp_path: Path, mirror: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mirror / "a.csv").write_bytes(CSV)
    folder = declare(tmp_path, data=[{**DERIVED, "licence": "CC BY 4.0"}])
    assert main(["fetch", str(folder)]) == 0
    assert capsys.readouterr().out == "toy fetch: a.csv verified; licence: CC BY 4.0\n"


def test_a_packaged_file_is_read_from_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(data.MIRROR, raising=False)
    sha256 = hashlib.sha256(Path(data.__file__).read_bytes()).hexdigest()
    item = {"name": "source.txt", "sha256": sha256, "package": "trainkit/data.py"}
    (path,) = data.fetch(read_job(declare(tmp_path, data=[item])))
    assert path.name == "source.txt"
    assert data.sha256_of(path) == sha256


def test_changed_bytes_at_the_source_leave_no_file_behind(job: Job, mirror: Path) -> None:
    (mirror / "toy.csv").write_bytes(CSV + b"9,9,0\n")
    with pytest.raises(
        TrainError, match=rf"the mirror .* has sha256 [0-9a-f]{{64}}, job.yaml says {CSV_SHA256}"
    ):
        data.fetch(job)
    assert list((job.folder / "data").iterdir()) == []


def test_a_file_that_was_changed_after_fetching_is_refused_with_the_fix(job: Job, mirror: Path) -> None:
    (mirror / "toy.csv").write_bytes(CSV)
    (path,) = data.fetch(job)
    path.write_bytes(b"changed")
    found = hashlib.sha256(b"changed").hexdigest()
    with pytest.raises(
        TrainError, match=f"sha256 {found}, job.yaml says {CSV_SHA256}: delete the file to fetch it"
    ):
        data.fetch(job)
    assert path.read_bytes() == b"changed"  # somebody's work is not overwritten


def test_a_missing_package_names_the_file_its_digest_and_the_mirror(job: Job, mirror: Path) -> None:
    reason = rf"trainkit/toy\.csv is not installed \(wanted sha256 {CSV_SHA256}\): .*{data.MIRROR}"
    with pytest.raises(TrainError, match=reason):
        data.fetch(job)


def test_an_unreachable_address_is_one_line_with_the_fix(tmp_path: Path, mirror: Path) -> None:
    item = {"name": "a.csv", "sha256": CSV_SHA256, "url": "https://127.0.0.1:1/a.csv"}
    with pytest.raises(TrainError, match=rf"a\.csv cannot be fetched \(.*refused.*\): .*set {data.MIRROR}"):
        data.fetch(read_job(declare(tmp_path, data=[item])))


def test_a_download_larger_than_the_bound_is_refused() -> None:
    with pytest.raises(TrainError, match=r"https://data\.example is larger than 3 bytes"):
        data.copy_bounded(io.BytesIO(b"four"), io.BytesIO(), 3, "https://data.example")
