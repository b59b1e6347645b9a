"""Which commit made this: asked of Git, or told by whoever built the container."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from trainkit.errors import TrainError

CODE = "MAINLINE_CODE"


@dataclass(frozen=True)
class Provenance:
    """`dirty`: the job or trainkit had uncommitted changes, so `code` alone does not make these bytes again."""

    code: str
    dirty: bool


def provenance(folder: Path, *more: Path) -> Provenance:
    """Of the job in `folder`; `more` are files outside of it that its bytes depend on, beside trainkit."""
    told, head = os.environ.get(CODE), _git(folder, "rev-parse", "HEAD")
    if head is None:
        if not told:
            raise TrainError(f"{folder} is in no Git commit and {CODE} is not set: commit it, or set {CODE}")
        return Provenance(told, dirty=False)
    if told and told != head.strip():
        raise TrainError(
            f"{CODE} is {told}, but {folder} is at {head.strip()}: check that commit out, or unset {CODE}"
        )
    changes = _git(folder, "status", "--porcelain", "--", ".", "../trainkit", *map(str, more))
    return Provenance(head.strip(), dirty=changes is None or bool(changes.strip()))


def _git(folder: Path, *words: str) -> str | None:
    """What git prints, or None where there is no git, no repository or no commit."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
