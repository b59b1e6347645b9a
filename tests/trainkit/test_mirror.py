"""A mirror of data sets that is an object store."""

from pathlib import Path

import pytest

from tests.trainkit.toy import CSV, declare
from trainkit.data import fetch
from trainkit.errors import TrainError
from trainkit.job import read_job
from trainkit.mirror import copy_object, is_store

pytest.importorskip("obstore")


def test_a_url_is_a_store_and_a_folder_is_none() -> None:
    assert is_store("s3://bucket/datasets")
    assert is_store("file:///data")
    assert not is_store("/data")
    assert not is_store("data/s3")


def test_an_object_is_copied_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "store/cifar10").mkdir(parents=True)
    content = bytes(range(256)) * 9000  # more than two chunks
    (tmp_path / "store/cifar10/train.parquet").write_bytes(content)
    url = f"file://{tmp_path}/store"
    assert copy_object(url, "cifar10/train.parquet", tmp_path / "to", "MAINLINE_DATASETS")
    assert (tmp_path / "to").read_bytes() == content


def test_an_object_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    assert not copy_object(
        f"file://{tmp_path}", "cifar10/train.parquet", tmp_path / "to", "MAINLINE_DATASETS"
    )
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("url", ["ftp://example.com/x", "s3://", "nothing"])
def test_an_address_that_is_no_store_names_its_variable(tmp_path: Path, url: str) -> None:
    with pytest.raises(TrainError, match=rf"MAINLINE_DATASETS is {url}: .*; check the address"):
        copy_object(url, "a", tmp_path / "to", "MAINLINE_DATASETS")


def test_a_store_that_refuses_connections_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setattr("trainkit.mirror._RETRIES", {"max_retries": 0})
    with pytest.raises(TrainError, match=r"MAINLINE_DATASETS is s3://data: .*; check the address"):
        copy_object("s3://data", "a", tmp_path / "to", "MAINLINE_DATASETS")


def test_fetch_takes_data_from_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/toy.csv").write_bytes(CSV)
    job = read_job(declare(tmp_path))
    monkeypatch.setenv("MAINLINE_DATASETS", f"file://{tmp_path}/store")
    assert [path.read_bytes() for path in fetch(job)] == [CSV]


def test_other_bytes_of_a_store_are_refused_by_their_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/toy.csv").write_bytes(b"other")
    job = read_job(declare(tmp_path))
    monkeypatch.setenv("MAINLINE_DATASETS", f"file://{tmp_path}/store/")
    with pytest.raises(TrainError, match=rf"toy.csv: the mirror file://{tmp_path}/store/toy.csv has sha256"):
        fetch(job)
    assert list((job.folder / "data").iterdir()) == []
