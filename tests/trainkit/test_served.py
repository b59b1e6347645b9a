"""The code that is served, asked by the job that trains."""

from pathlib import Path

import pytest

from trainkit.errors import TrainError
from trainkit.served import served_code

JOB = """name: toy
model: served
data: [{{name: a, sha256: "{digest}", url: "https://example.com/a"}}]
"""


def job(root: Path) -> Path:
    folder = root / "training-jobs/toy"
    folder.mkdir(parents=True)
    (folder / "job.yaml").write_text(JOB.format(digest="0" * 64), encoding="utf-8")
    return folder


def test_the_code_of_the_model_that_the_job_names_is_loaded(tmp_path: Path) -> None:
    folder = job(tmp_path)
    code = tmp_path / "model-servers/served/model.py"
    code.parent.mkdir(parents=True)
    code.write_text("ANSWER = 42\n", encoding="utf-8")
    assert served_code(folder).ANSWER == 42
    assert served_code(folder) is served_code(folder)


def test_a_model_without_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"model-servers/served/model.py is missing: this job computes"):
        served_code(job(tmp_path))
