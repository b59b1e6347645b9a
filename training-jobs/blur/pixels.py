"""The served model's own code, by path: features are computed in one place."""

import importlib.util
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from trainkit.errors import TrainError

CODE = Path("../../model-servers/blur/model.py")


@lru_cache(maxsize=1)
def served_code() -> ModuleType:
    spec = importlib.util.spec_from_file_location("served_blur", CODE)
    if spec is None or spec.loader is None or not CODE.is_file():
        raise TrainError(f"{CODE} is missing: the features of blur are computed there; check it out")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
