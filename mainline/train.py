"""mainline train: run a job's pipeline from a commit, in a clone of its own, and register what it made."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from mainline.datasets import MIRROR, declared_job, mirror, refuse_without_packages
from mainline.errors import Refusal
from mainline.git import Git
from mainline.places import EMBEDDED, Places
from mainline.promote import registry_uri
from mainline.truth import stack

_running: set[subprocess.Popen[str]] = set()


@dataclass(frozen=True, slots=True)
class Trained:
    """What trainkit registered; `new` is False when the registry had these bytes already."""

    job: str
    model: str
    version: int
    run: str
    digest: str
    metrics: Mapping[str, float]
    new: bool


def train(places: Places, job: str, on_line: Callable[[str], None]) -> Trained:
    """Train the committed state of a job; each line that the pipeline prints goes to `on_line`.

    Raises Refusal for an unknown job, uncommitted changes, and a pipeline that failed (with its last line).
    """
    commit = _refuse_untrainable(places, job)
    with _alone(places, job):
        _check_out(places, job, commit)
        return _trained(job, _run(places, job, commit, on_line))


def _refuse_untrainable(places: Places, job: str) -> str:
    model = declared_job(places, job).model
    clone = Git(places.root)
    commit = clone.resolve("HEAD")
    if commit is None:
        raise Refusal(f"{places.root} has no commit to train; git init, git add -A, git commit")
    served_by = f"model-servers/{model}/model.py"
    dirty = clone.changed_paths(
        f"training-jobs/{job}", "training-jobs/trainkit", "requirements.lock", served_by
    )
    if dirty:
        raise Refusal(
            f"{dirty[0]} has uncommitted changes, and a version names the commit that made it; commit them first"
        )
    refuse_without_packages(places, job)
    return commit


def _check_out(places: Places, job: str, commit: str) -> None:
    # Outputs and DVC's cache stay between runs (they are ignored by Git), so only what changed is computed again.
    folder = places.training(job)
    if not (folder / ".git").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        Git(folder).run("init", "-q")
    clone = Git(folder)
    clone.run("fetch", "-q", "--update-shallow", str(places.root), "HEAD")
    clone.run("checkout", "-q", "--force", "--detach", commit)


def _run(places: Places, job: str, commit: str, on_line: Callable[[str], None]) -> list[str]:
    folder = places.training(job)
    places.registry.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "trainkit", "run", f"training-jobs/{job}"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=_environment(places, commit),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    lines: list[str] = []
    _running.add(process)
    try:
        for line in process.stdout or ():
            if line.strip():
                lines.append(line.rstrip())
                on_line(lines[-1])
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        _running.discard(process)
    if code:
        raise Refusal(f"job {job} failed: {lines[-1] if lines else f'exit code {code}, without a word'}")
    return lines


def end_running() -> None:
    """Ask every pipeline to end: they are waited for in threads, which Ctrl-C does not reach."""
    for process in list(_running):
        process.terminate()


def _environment(places: Places, commit: str) -> dict[str, str]:
    uri = registry_uri(places, stack(places, EMBEDDED).registry)
    data = mirror()
    # The clone's own trainkit is what the commit names; the installed one is this working tree's.
    return dict(
        os.environ,
        **({MIRROR: data} if data else {}),
        TRAINKIT_PARENT=str(os.getpid()),
        MLFLOW_TRACKING_URI=uri,
        MAINLINE_MLFLOW_ARTIFACTS=str(places.run_artifacts),
        MAINLINE_CODE=commit,
        PYTHONPATH="training-jobs",
    )


def _trained(job: str, lines: list[str]) -> Trained:
    try:
        said = json.loads(lines[-1])
        return Trained(
            job,
            said["model"],
            int(said["version"]),
            said["run"],
            said["digest"],
            said["metrics"],
            said["new"],
        )
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise Refusal(
            f"job {job} ended without saying what it registered; its last line must be the JSON of trainkit"
        ) from error


@contextmanager
def _alone(places: Places, job: str) -> Iterator[None]:
    lock = places.training(job).with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Refusal(f"job {job} is being trained by another process; wait for it") from error
        yield
