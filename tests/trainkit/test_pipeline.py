"""The pipeline's process group: one at a time, within its deadline, never left behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.trainkit.toy import declare
from trainkit import pipeline
from trainkit.__main__ import main
from trainkit.errors import TrainError
from trainkit.job import read_job
from trainkit.pipeline import alone, reproduce

ROOT = Path(__file__).parents[2]


def job_that_runs(folder: Path, command: str, deadline: int = 60) -> Path:
    """A job of one stage, in a DVC repository of its own, whose data is there already."""
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text((ROOT / ".dvc/config").read_text("utf-8"), encoding="utf-8")
    job = declare(folder, deadline=deadline)
    stages = {"only": {"cmd": command, "deps": ["job.yaml"]}}
    (job / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    return job


def gone(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def wait_for(path: Path) -> None:
    until = time.monotonic() + 30
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < until, f"{path} was not written in 30 s"
        time.sleep(0.05)


def test_the_reason_of_a_failed_stage_is_the_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    job = read_job(job_that_runs(tmp_path, "echo seen; echo 'trainkit: row 3 is wrong: fix it'; exit 1"))
    with pytest.raises(TrainError, match=r"^row 3 is wrong: fix it$"):
        reproduce(job, lambda: None)
    said = capfd.readouterr().err
    assert "seen" in said
    assert "row 3" not in said  # told once, at the end


def test_a_pipeline_that_dvc_refuses_says_what_dvc_says(tmp_path: Path) -> None:
    job = job_that_runs(tmp_path, "true")
    (job / "dvc.yaml").write_text("stages: {only: {command: 'true'}}", encoding="utf-8")
    with pytest.raises(TrainError, match=r"dvc repro failed with exit code 255: .*command"):
        reproduce(read_job(job), lambda: None)


def test_a_pipeline_past_its_deadline_is_ended(tmp_path: Path) -> None:
    job = read_job(job_that_runs(tmp_path, "echo $$ > pid; exec sleep 60", deadline=3))
    with pytest.raises(TrainError, match="toy ran longer than its deadline of 3 s"):
        reproduce(job, lambda: wait_for(job.folder / "pid"))
    assert gone(int((job.folder / "pid").read_text()))


def test_a_refusal_beside_the_pipeline_ends_it(tmp_path: Path) -> None:
    job = read_job(job_that_runs(tmp_path, "echo $$ > pid; exec sleep 60"))

    def refuse() -> None:
        wait_for(job.folder / "pid")
        raise TrainError("no registry")

    with pytest.raises(TrainError, match="no registry"):
        reproduce(job, refuse)
    assert gone(int((job.folder / "pid").read_text()))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_ends_its_children_and_says_so(tmp_path: Path, number: int, code: int) -> None:
    job = job_that_runs(tmp_path, "echo $$ > pid; exec sleep 60")
    (tmp_path / "toy/data").mkdir()
    (tmp_path / "toy/data/toy.csv").write_bytes(b"4,2,no,yes\n1.0,2.0,0\n1.5,2.5,0\n7.0,8.0,1\n7.5,8.5,1\n")
    command = [sys.executable, "-m", "trainkit", "run", "--no-register", str(job)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(job / "pid")
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert said.endswith("trainkit: interrupted; run it again to go on\n")
    assert gone(int((job / "pid").read_text()))


def test_one_job_is_trained_by_one_process(tmp_path: Path) -> None:
    with (
        alone(tmp_path, 0),
        pytest.raises(TrainError, match="is being trained by another process"),
        alone(tmp_path, 0.2),
    ):
        pytest.fail("two processes held the lock")


def test_a_job_outside_a_checkout_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "LOCK_WAIT", 0)
    with pytest.raises(TrainError, match=r"is in no DVC repository, no \.dvc folder is above it"):
        reproduce(read_job(declare(tmp_path)), lambda: None)
    assert main(["run", str(tmp_path / "none")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"trainkit: {tmp_path}/none is not a training job")
