"""What a job needs that this machine may lack is said before anything is installed or trained."""

import subprocess
import sys

import pytest

from mainline.datasets import (
    comes_with_packages,
    declared_job,
    mirror,
    refuse_without_data,
    refuse_without_packages,
)
from mainline.errors import Refusal

_JOB = """\
name: text
owner: writers
model: text
data:
  - name: test.csv
    sha256: {}
    mirror: sentiment/test.csv
    source: https://example.com/sentences
    licence: CC BY 4.0
  - name: words.csv
    sha256: {}
    url: https://example.com/words.csv
""".format("a" * 64, "b" * 64)


@pytest.fixture
def text(world, monkeypatch):
    """A job whose data are in a mirror, and no mirror."""
    monkeypatch.delenv("MAINLINE_DATASETS", raising=False)
    folder = world.places.root / "training-jobs/text"
    folder.mkdir()
    (folder / "job.yaml").write_text(_JOB)
    return folder


def test_a_job_of_packages_is_told_from_one_of_files(world, text):
    assert comes_with_packages(declared_job(world.places, "iris"))
    assert not comes_with_packages(declared_job(world.places, "text"))


def test_without_a_mirror_every_file_is_listed_with_its_origin_and_licence(world, text):
    with pytest.raises(Refusal) as refused:
        refuse_without_data(world.places, ["iris", "text"])
    first, *files, last = str(refused.value).splitlines()
    assert first == "MAINLINE_DATASETS is not set; it names a folder with the data, as job.yaml has it:"
    assert files == [
        "  text: sentiment/test.csv, derived from https://example.com/sentences, licence: CC BY 4.0",
        "  text: words.csv, or downloaded from https://example.com/words.csv, licence: see job.yaml",
    ]
    assert last.startswith("export MAINLINE_DATASETS=/folder/with/the/files; docs/fleet.md")


def test_jobs_that_need_no_mirror_are_not_asked_for_one(world, text):
    refuse_without_data(world.places, ["iris", "production-tabular"])


def test_a_mirror_that_is_no_folder_is_refused_and_one_in_a_store_is_not_looked_into(
    world, text, tmp_path, monkeypatch
):
    monkeypatch.setenv("MAINLINE_DATASETS", str(tmp_path / "none"))
    with pytest.raises(Refusal, match="none, which is not a folder; export"):
        refuse_without_data(world.places, ["text"])
    monkeypatch.setenv("MAINLINE_DATASETS", "s3://bucket/data")
    refuse_without_data(world.places, ["text"])
    assert mirror() == "s3://bucket/data"


def test_a_mirror_is_found_from_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAINLINE_DATASETS", "data")
    assert mirror() == str(tmp_path / "data")


def test_modules_that_a_stage_imports_and_this_python_has_not_are_named(world, text):
    (text / "conf").mkdir()
    (text / "train.py").write_text(
        "import json\nimport yaml, conf\nfrom model import fit\nimport nowhere.at.all\n"
    )
    (text / "model.py").write_text("def fit():\n    from elsewhere import thing\n")
    (text / "objective.py").write_text("import never_trained_with\n")
    with pytest.raises(Refusal) as refused:
        refuse_without_packages(world.places, "text")
    assert str(refused.value) == (
        "job text needs packages that are not installed (elsewhere, nowhere); make .venv/fleet.stamp"
    )


def test_make_fleet_asks_for_the_data_before_it_installs_anything(world, text):
    done = subprocess.run(
        [sys.executable, "-m", "mainline.datasets"],
        cwd=world.places.root, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert all(line.startswith("mainline: ") for line in done.stderr.splitlines())
    assert "sentiment/test.csv" in done.stderr
