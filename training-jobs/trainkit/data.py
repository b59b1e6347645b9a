"""Bring a job's data files into `data/`, and believe none of them before its sha256 is right."""

import hashlib
import os
import shutil
import urllib.error
import urllib.request
from importlib import resources
from pathlib import Path
from typing import BinaryIO

from trainkit.errors import TrainError
from trainkit.job import DataFile, Job
from trainkit.mirror import copy_object, is_store

MIRROR = "MAINLINE_DATASETS"
LARGEST_DOWNLOAD = 1 << 30
TIMEOUT = 30.0
CHUNK = 1 << 20


def fetch(job: Job) -> list[Path]:
    """The paths of the job's files, each verified; missing ones come from the mirror, a package or a URL."""
    return [_ensure(job, data) for data in job.data]


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _ensure(job: Job, data: DataFile) -> Path:
    path = job.path_of(data)
    if path.exists():
        verify(path, data)
        return path
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(path.name + ".part")
    try:
        origin = _bring(data, partial)
        verify(partial, data, origin)
        partial.replace(path)
    except OSError as error:
        raise TrainError(
            f"{path} cannot be written: {error.strerror or error}; free the disk or fix it"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return path


def verify(path: Path, data: DataFile, origin: str = "") -> None:
    """Refuse a file whose bytes are not the declared ones; `origin` says where they came from."""
    found = sha256_of(path)
    if found == data.sha256:
        return
    where = origin or str(path)
    fix = "check that source" if origin else "delete the file to fetch it again"
    raise TrainError(
        f"{data.name}: {where} has sha256 {found}, job.yaml says {data.sha256}: "
        f"{fix}, or, if the new data is meant, put its digest in job.yaml"
    )


def _bring(data: DataFile, to: Path) -> str:
    """Write the bytes to `to`, unverified; returns where they came from."""
    mirror = os.environ.get(MIRROR)
    if mirror and _mirrored(mirror, data.mirror, to):
        return f"the mirror {mirror.rstrip('/')}/{data.mirror}"
    if data.package is not None:
        to.write_bytes(_packaged(data, data.package))
        return f"the package resource {data.package}"
    if data.url is None:
        raise TrainError(_only_mirrored(data, mirror))
    _download(data, data.url, to)
    return data.url


def _mirrored(mirror: str, path: str, to: Path) -> bool:
    """Whether the mirror, a folder or the address of a store, has the file; it is at `to` then."""
    if is_store(mirror):
        return copy_object(mirror, path, to, MIRROR)
    if not (Path(mirror) / path).is_file():
        return False
    shutil.copyfile(Path(mirror) / path, to)
    return True


def _only_mirrored(data: DataFile, mirror: str | None) -> str:
    where = f"it is not in {mirror}" if mirror else f"{MIRROR} is not set"
    return (
        f"{data.name}: nobody offers these bytes (sha256 {data.sha256}), they are derived from {data.source}: "
        f"make them as docs/training.md says, put them at {data.mirror} below a folder and set {MIRROR} to it ({where})"
    )


def _packaged(data: DataFile, resource: str) -> bytes:
    package, _, file = resource.partition("/")
    try:
        return resources.files(package).joinpath(file).read_bytes()
    except (ModuleNotFoundError, FileNotFoundError):
        raise TrainError(
            f"{data.name}: {resource} is not installed (wanted sha256 {data.sha256}): "
            f"install {package.split('.')[0]}, or put it at {data.mirror} below a folder and set {MIRROR} to it"
        ) from None


def _download(data: DataFile, url: str, to: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, to.open("wb") as out:  # noqa: S310 - https only
            if not answer.url.startswith("https://"):
                raise TrainError(f"{data.name}: {url} redirects to {answer.url}; only https:// is fetched")
            copy_bounded(answer, out, LARGEST_DOWNLOAD, url)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise TrainError(
            f"{data.name}: {url} cannot be fetched ({reason}): "
            f"put it at {data.mirror} below a folder and set {MIRROR} to it"
        ) from None


def copy_bounded(source: BinaryIO, out: BinaryIO, limit: int, origin: str) -> None:
    """Stream `source` to `out`; a source of more than `limit` bytes is refused."""
    size = 0
    while chunk := source.read(CHUNK):
        size += len(chunk)
        if size > limit:
            raise TrainError(f"{origin} is larger than {limit} bytes: is it the file that job.yaml means?")
        out.write(chunk)
