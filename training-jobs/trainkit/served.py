"""model.py of a model server, for the job that trains it: what stands before the graph is computed in one place."""

import importlib.util
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from trainkit.errors import TrainError
from trainkit.job import read_job


def served_code(folder: Path = Path()) -> ModuleType:
    """The module that the artifact of the job in `folder` will carry; TrainError if there is none."""
    return _loaded(read_job(folder).code)


@lru_cache(maxsize=1)
def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("served_code", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise TrainError(f"{path} is missing: this job computes its features with it; check it out")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
