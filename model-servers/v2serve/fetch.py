"""An artifact from its store into a folder: each byte is checked while it arrives; nothing looks finished before it is.

Until all of it is there it lies in a folder of its own beside the destination (inside, where that is a mount point).
A fetch that was stopped leaves that folder; the next one goes on from what verifies there.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from v2serve.artifact import SUMS, ArtifactError, check_digest, check_sums, parse_sums, verify
from v2serve.parallel import Stopping, in_parallel
from v2serve.staging import clear, staged
from v2serve.store import CHUNK, FetchError, Source, reason

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["FetchError", "Tell", "digest_of", "fetch", "resolve"]

Tell = Callable[[str, int, bool], None]
"""(path of the file, bytes of it that are here, whether it is verified); called from several threads."""

_SUMS_LIMIT = 16 << 20
_AT_ONCE = 4  # files; each holds about two chunks in memory
_MAINLINE = "mainline://store"
_SCHEMES = ("file", "s3", "gs", "az")
_LAST_PART = re.compile(r"[0-9a-f]{64}", re.ASCII)


def fetch(
    uri: str,
    destination: Path,
    expected: str | None = None,
    store: str | None = None,
    tell: Tell | None = None,
) -> str:
    """Bring the artifact of this digest to the destination and return the digest.

    `expected` defaults to the last part of the URI; `store` is what mainline://store stands for.
    Does nothing if the destination holds the artifact. Raises FetchError or ArtifactError.
    """
    digest = check_digest(expected or digest_of(uri))
    if _present(destination, digest):
        return digest
    source = Source(resolve(uri, store))
    try:
        destination.mkdir(parents=True, exist_ok=True)
        _bring(source, destination, digest, tell or _silent)
    except OSError as error:
        raise FetchError(f"{uri}: {error.filename or destination}: {reason(error)}") from error
    return digest


def digest_of(uri: str) -> str:
    """The digest that the URI ends with; FetchError if it does not."""
    last = uri.rstrip("/").rpartition("/")[2]
    if not _LAST_PART.fullmatch(last):
        raise FetchError(
            f"{uri}: does not end with the 64 hex digits of a digest; give --digest sha256:<hex>"
        )
    return f"sha256:{last}"


def resolve(uri: str, store: str | None) -> str:
    """The URI of a real store; FetchError names the scheme or the variable that is missing."""
    if uri.startswith(_MAINLINE + "/"):
        if not store:
            raise FetchError(f"{uri}: V2SERVE_STORE is not set; it says what {_MAINLINE} stands for")
        uri = store.rstrip("/") + uri.removeprefix(_MAINLINE)
    scheme = uri.partition("://")[0]
    if scheme not in _SCHEMES:
        offered = ", ".join(f"{known}://" for known in _SCHEMES)
        raise FetchError(f"{uri}: scheme is not one of {offered}, {_MAINLINE}/")
    return uri


def _silent(path: str, size: int, verified: bool) -> None:
    """Nobody asked."""


def _present(destination: Path, digest: str) -> bool:
    if (destination / SUMS).exists():
        verify(destination, digest)
        return True
    # A volume's mount point cannot be replaced and may hold what an interrupted fetch moved there.
    if destination.is_dir() and not destination.is_mount() and any(destination.iterdir()):
        raise FetchError(f"{destination}: holds files without {SUMS}; remove the folder")
    return False


def _bring(source: Source, destination: Path, digest: str, tell: Tell) -> None:
    mounted = destination.is_mount()
    with staged(destination, digest, mounted) as staging:
        if _present(destination, digest):
            return clear(staging)  # another process had the folder before us, and finished
        try:
            sums = _download(source, staging, destination, digest, tell)
        except ArtifactError:
            clear(staging)  # the store has other bytes: nothing here is worth going on from
            raise
        _finish(staging, destination, sums, mounted)
    if mounted:
        verify(destination, digest)
    return None


def _download(source: Source, staging: Path, destination: Path, digest: str, tell: Tell) -> bytes:
    content = source.whole(SUMS, _SUMS_LIMIT)
    check_sums(content, digest)
    sums = parse_sums(content)
    _remove_others(staging, sums)
    for path in sums:
        (staging / path).parent.mkdir(parents=True, exist_ok=True)
        if not (staging / path).exists() and (destination / path).is_file():
            (destination / path).replace(
                staging / path
            )  # moved into a mount point by a fetch that was stopped there

    def one(path: str, stopping: Stopping) -> None:
        _file(source, path, staging / path, sums[path], tell, stopping)

    in_parallel(list(sums), one, _AT_ONCE)
    return content


def _remove_others(staging: Path, sums: dict[str, str]) -> None:
    """Only files that SHA256SUMS names are gone on with; links are not followed."""
    for found in sorted(staging.rglob("*"), reverse=True):
        if found.is_symlink() or (found.is_file() and found.relative_to(staging).as_posix() not in sums):
            found.unlink()


def _file(source: Source, path: str, target: Path, checksum: str, tell: Tell, stopping: Stopping) -> None:
    """Go on from what is there; if the whole is wrong then, once more from the first byte. Else ArtifactError."""
    hashing, length = _so_far(target)
    if not length or hashing.hexdigest() != checksum:
        if length and length < source.size(path):
            _append(source, path, target, hashing, length, tell, stopping)
        if hashing.hexdigest() != checksum or not length:
            target.unlink()
            hashing, _ = _so_far(target)
            _append(source, path, target, hashing, 0, tell, stopping)
    actual = hashing.hexdigest()
    if actual != checksum:
        raise ArtifactError(
            f"{path}: {SUMS} names sha256:{checksum}, but the store's bytes are sha256:{actual}"
        )
    tell(path, target.stat().st_size, True)


def _so_far(target: Path) -> "tuple[_Hash, int]":
    """The hash and the length of what an earlier fetch left, which may be nothing; the file is there afterwards."""
    hashing, length = hashlib.sha256(), 0
    with target.open("ab+", buffering=0) as stream:
        stream.seek(0)
        while chunk := stream.read(CHUNK):
            hashing.update(chunk)
            length += len(chunk)
    return hashing, length


def _append(
    source: Source, path: str, target: Path, hashing: "_Hash", length: int, tell: Tell, stopping: Stopping
) -> None:
    with target.open("ab", buffering=0) as stream:
        for chunk in source.stream(path, length):
            _write(stream.fileno(), chunk, target)
            hashing.update(chunk)
            length += len(chunk)
            tell(path, length, False)
            stopping.check()


def _write(handle: int, chunk: bytes, target: Path) -> None:
    """Whole, or an OSError that names the file: an unbuffered write may take a part of it only."""
    rest = memoryview(chunk)
    while rest:
        try:
            rest = rest[os.write(handle, rest) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(target)) from error


def _finish(staging: Path, destination: Path, sums: bytes, mounted: bool) -> None:
    (staging / SUMS).write_bytes(sums)
    for folder in (staging, *(path for path in staging.rglob("*") if path.is_dir())):
        folder.chmod(0o755)  # the server may run as another user
    if mounted:
        _move_files(staging, destination)
        shutil.rmtree(staging)
    else:
        staging.rename(destination)  # replaces the empty folder, atomically


def _move_files(staging: Path, destination: Path) -> None:
    """File by file into a mount point; SHA256SUMS last, for it says that the rest is there."""
    files = sorted(path for path in staging.rglob("*") if path.is_file())
    files.sort(key=lambda path: path == staging / SUMS)
    for path in files:
        target = destination / path.relative_to(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
