"""What a run was made with, beside its commit and data: seed, lock of the environment, versions of packages."""

import ast
import json
import os
import platform
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trainkit.errors import TrainError
from trainkit.job import Job

LOCK = "MAINLINE_LOCK"  # where the lock is, if not two folders above the job
ALWAYS = {"numpy", "onnx", "onnxruntime"}
# Import name -> name in the lock, where they differ.
DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow", "yaml": "pyyaml"}
OURS = {"trainkit", "v2serve"}


def context(job: Job, params: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Tags of a run; one whose fact is not known here is left out."""
    tags = {
        "mainline.python": platform.python_version(),
        "mainline.packages": json.dumps(packages(job), sort_keys=True),
        "mlflow.source.name": f"training-jobs/{job.name}",
        "mlflow.source.type": "JOB",
    }
    lock = Path(os.environ.get(LOCK) or job.folder.parents[1] / "requirements.lock")
    if lock.is_file():
        tags["mainline.lock"] = f"sha256:{sha256(lock.read_bytes()).hexdigest()}"
    seeds = {f"{section}.{name}": value for section, name, value in _seeds(params)}
    if seeds:
        tags["mainline.seed"] = json.dumps(seeds, sort_keys=True)
    return tags


def packages(job: Job) -> dict[str, str]:
    """Versions of what the job's own files import, and of what writes the artifact."""
    files = [*job.folder.glob("*.py"), *([job.code] if job.code.is_file() else [])]
    roots = ALWAYS | {root for file in files for root in _imports(file)}
    roots -= OURS | {file.stem for file in files}
    found = {name: _version(name) for name in (DISTRIBUTIONS.get(root, root) for root in sorted(roots))}
    return {name: number for name, number in found.items() if number}


def _imports(file: Path) -> Iterator[str]:
    """First names of the modules that a file imports, at its top or inside of functions."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise TrainError(f"{file.name}, line {error.lineno} is not Python: {error.msg}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def _version(name: str) -> str | None:
    """None for the standard library, and for what is not a package of that name."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _seeds(params: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, Any]]:
    for section, values in params.items():
        yield from ((section, name, value) for name, value in values.items() if name.endswith("seed"))
