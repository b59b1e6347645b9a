"""The artifact folder: what is served and reviewed, named by the digest of its list of digests."""

import hashlib
import shutil
from pathlib import Path

from trainkit.data import sha256_of
from trainkit.errors import TrainError

SUMS = "SHA256SUMS"


def emptied(folder: Path) -> Path:
    """A new, empty folder: a file of an earlier run must not be in the digest of this one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def write_sums(folder: Path) -> str:
    """Write SHA256SUMS over all other files and return the artifact's digest, `sha256:<hex>`."""
    content = _sums(folder)
    (folder / SUMS).write_bytes(content)
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def verified_digest(folder: Path) -> str:
    """The digest of an artifact whose files are all as SHA256SUMS says; TrainError otherwise."""
    try:
        written = (folder / SUMS).read_bytes()
    except OSError:
        raise TrainError(
            f"{folder} is not an artifact, it has no {SUMS}: python -m trainkit run JOB_FOLDER"
        ) from None
    if written != _sums(folder):
        raise TrainError(
            f"{folder} was changed after export, {SUMS} says other bytes: run the pipeline again"
        )
    return f"sha256:{hashlib.sha256(written).hexdigest()}"


def _sums(folder: Path) -> bytes:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != SUMS]
    lines = [f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    return "".join(sorted(lines)).encode("ascii")
