"""Keep compiled bytecode where nobody else did: five processes would each compile scikit-learn again."""

import importlib.util
import sys
from pathlib import Path

from trainkit.errors import TrainError

LARGE = ("mlflow", "sklearn")


def keep_bytecode(folder: Path) -> None:
    """With PYTHONDONTWRITEBYTECODE set and nothing compiled at installation, keep it in DVC's ignored folder."""
    wanted = sys.dont_write_bytecode and not sys.pycache_prefix and not all(map(_is_compiled, LARGE))
    place = _scratch(folder)
    if wanted and place is not None:
        sys.pycache_prefix = str(place / "bytecode")
        sys.dont_write_bytecode = False


def scratch(folder: Path) -> Path:
    """DVC's temporary folder in the checkout of `folder`, which Git ignores."""
    place = _scratch(folder)
    if place is None:
        raise TrainError(
            f"{folder} is in no DVC repository, no .dvc folder is above it: use a whole checkout"
        )
    return place


def _scratch(folder: Path) -> Path | None:
    roots = (parent for parent in (folder, *folder.parents) if (parent / ".dvc").is_dir())
    return next((root / ".dvc" / "tmp" for root in roots), None)


def _is_compiled(package: str) -> bool:
    spec = importlib.util.find_spec(package)
    return spec is None or spec.cached is None or Path(spec.cached).exists()
