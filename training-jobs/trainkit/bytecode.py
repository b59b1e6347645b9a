"""Keep compiled bytecode where nobody else did: five processes would each compile scikit-learn again."""

import importlib.util
import sys
from pathlib import Path

from trainkit.errors import TrainError

LARGE = ("mlflow", "sklearn")


def keep_bytecode(folder: Path) -> None:
    """With PYTHONDONTWRITEBYTECODE set and nothing compiled at installation, keep it in DVC's ignored folder."""
    if sys.dont_write_bytecode and not sys.pycache_prefix and not all(map(_is_compiled, LARGE)):
        sys.pycache_prefix = str(scratch(folder) / "bytecode")
        sys.dont_write_bytecode = False


def scratch(folder: Path) -> Path:
    """DVC's temporary folder in the checkout of `folder`, which Git ignores."""
    for parent in (folder, *folder.parents):
        if (parent / ".dvc").is_dir():
            return parent / ".dvc" / "tmp"
    raise TrainError(f"{folder} is in no DVC repository, no .dvc folder is above it: use a whole checkout")


def _is_compiled(package: str) -> bool:
    spec = importlib.util.find_spec(package)
    return spec is None or spec.cached is None or Path(spec.cached).exists()
