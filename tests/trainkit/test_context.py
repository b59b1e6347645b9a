"""What a run says about its making: use and columns of data files, lock, packages."""

import hashlib
import json
from pathlib import Path

import pytest

from trainkit.context import context, packages
from trainkit.datasets_log import columns_of, context_of
from trainkit.job import Job


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("test.parquet", "testing"),
        ("cifar_test.csv", "testing"),
        ("validation.csv", "validation"),
        ("contest.csv", "training"),
        ("ratings.csv", "training"),
    ],
)
def test_a_files_name_says_what_it_is_for(name: str, use: str) -> None:
    assert context_of(name) == use


def test_columns_of_a_csv_are_its_header_and_the_types_of_its_cells(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("userId,rating,title\n1,4.5,Heat\n2,3,\n", encoding="utf-8")
    assert [(column["name"], column["type"]) for column in columns_of(path, [])] == [
        ("userId", "long"), ("rating", "double"), ("title", "string"),
    ]  # fmt: skip


def test_columns_of_a_parquet_file_are_its_own(tmp_path: Path) -> None:
    import pandas as pd

    path = tmp_path / "train.parquet"
    pd.DataFrame({"label": [1, 2], "image": [b"a", b"b"]}).to_parquet(path)
    assert [(column["name"], column["type"]) for column in columns_of(path, [])] == [
        ("label", "long"), ("image", "binary"),
    ]  # fmt: skip


def test_a_file_that_is_no_table_has_no_columns(tmp_path: Path) -> None:
    (tmp_path / "kodim01.png").write_bytes(b"\x89PNG")
    assert columns_of(tmp_path / "kodim01.png", []) == []
    assert columns_of(tmp_path / "absent.csv", []) == []


def test_packages_are_those_that_the_job_imports(job: Job) -> None:
    (job.folder / "model.py").write_text("import sklearn.svm\nimport json\n", encoding="utf-8")
    (job.folder / "train.py").write_text(
        "def f():\n    from yaml import dump\nimport model\n", encoding="utf-8"
    )
    assert set(packages(job)) == {"numpy", "onnx", "onnxruntime", "pyyaml", "scikit-learn"}


def test_the_lock_is_named_by_its_hash_wherever_it_is(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "mainline.lock" not in context(job, {})
    lock = tmp_path / "elsewhere.lock"
    lock.write_bytes(b"numpy==2\n")
    monkeypatch.setenv("MAINLINE_LOCK", str(lock))
    found = context(job, {"train": {"seed": 7}, "evaluate": {"split_seed": 1, "folds": 5}})
    assert found["mainline.lock"] == f"sha256:{hashlib.sha256(b'numpy==2' + bytes([10])).hexdigest()}"
    assert json.loads(found["mainline.seed"]) == {"train.seed": 7, "evaluate.split_seed": 1}
