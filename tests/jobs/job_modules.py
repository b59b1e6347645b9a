"""The modules of one job, imported as its stages import them: several jobs have a model.py."""

import hashlib
import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.jobs.conftest import MADE, ROOT
from trainkit.errors import TrainError

Import = Callable[[str], ModuleType]


@contextmanager
def modules_of(job: str) -> Iterator[Import]:
    """Import by name from the job's folder; what it imported is forgotten afterwards."""
    folder = ROOT / "training-jobs" / job
    names = [path.stem for path in folder.glob("*.py")]
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def job_alone(root: Path, job: str) -> Path:
    """A copy of one job's folder, without Git, for stages that are called rather than run."""
    shutil.copytree(ROOT / "training-jobs" / job, root / "training-jobs" / job, ignore=MADE)
    return root


def with_data(clone: Path, job: str, files: dict[str, bytes]) -> Path:
    """The job's folder in a checkout, its data in place and declared by the right digests."""
    folder = clone / "training-jobs" / job
    declared = yaml.safe_load((folder / "job.yaml").read_text("utf-8"))
    for data in declared["data"]:
        content = files[data["name"]]
        data["sha256"] = hashlib.sha256(content).hexdigest()
        (folder / "data").mkdir(exist_ok=True)
        (folder / "data" / data["name"]).write_bytes(content)
    (folder / "job.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    served = clone / "model-servers" / job
    served.mkdir(parents=True)
    (served / "model.py").write_bytes((ROOT / "model-servers" / job / "model.py").read_bytes())
    return folder


def with_params(folder: Path, **sections: dict[str, object]) -> None:
    """Values of params.yaml replaced; each must be there already."""
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text("utf-8"))
    for section, values in sections.items():
        assert values.keys() <= params[section].keys()
        params[section].update(values)
    path.write_text(yaml.safe_dump(params), encoding="utf-8")


def refused(monkeypatch: pytest.MonkeyPatch, job: Path, stage: Callable[[], object]) -> str:
    """What a stage, called in the job's folder, says when it refuses to go on."""
    monkeypatch.chdir(job)
    with pytest.raises(TrainError) as refusal:
        stage()
    return str(refusal.value)
