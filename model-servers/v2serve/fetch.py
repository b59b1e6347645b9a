"""An artifact from its store into a folder: each byte checked while it arrives, nothing half-written left behind."""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from v2serve.artifact import SUMS, ArtifactError, check_digest, check_sums, parse_sums, verify

if TYPE_CHECKING:
    from obstore import GetResult

_CHUNK = 1 << 20
_SUMS_LIMIT = 16 << 20
_STAGING = ".v2serve-partial-"
_MAINLINE = "mainline://store"
_SCHEMES = ("file", "s3", "gs", "az")
_LAST_PART = re.compile(r"[0-9a-f]{64}", re.ASCII)


class FetchError(ValueError):
    """The artifact could not be fetched; the message is one line that names the URI or the folder."""


def fetch(uri: str, destination: Path, expected: str | None = None, store: str | None = None) -> str:
    """Bring the artifact of this digest to the destination and return the digest.

    `expected` defaults to the last part of the URI; `store` is what mainline://store stands for.
    Does nothing if the destination holds the artifact. Raises FetchError or ArtifactError.
    """
    digest = check_digest(expected or digest_of(uri))
    if _present(destination, digest):
        return digest
    source = _Source(resolve(uri, store))
    try:
        destination.mkdir(parents=True, exist_ok=True)
        _bring(source, destination, digest)
    except OSError as error:
        raise FetchError(
            f"{uri}: {error.filename or destination}: {error.strerror or _line(error)}"
        ) from error
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


def _present(destination: Path, digest: str) -> bool:
    if (destination / SUMS).exists():
        verify(destination, digest)
        return True
    # A volume's mount point cannot be replaced and may hold what an interrupted fetch moved there.
    if destination.is_dir() and not destination.is_mount() and any(destination.iterdir()):
        raise FetchError(f"{destination}: holds files without {SUMS}; remove the folder")
    return False


class _Source:
    """A folder in a store, whose failures are one line that names the URI."""

    def __init__(self, uri: str) -> None:
        from obstore.store import from_url

        self._uri = uri
        with self._telling("the store"):
            self._store = from_url(uri)

    def sums(self) -> bytes:
        with self._telling(SUMS):
            answer = self._get(SUMS)
            size = answer.meta["size"]
            if size > _SUMS_LIMIT:
                raise ArtifactError(f"{SUMS}: {size} bytes; more than {_SUMS_LIMIT} is not a list of sums")
            return bytes(answer.bytes())

    def download(self, path: str, target: Path, checksum: str) -> None:
        """Stream one file, holding about a chunk of it in memory; ArtifactError if the bytes are others."""
        hashing = hashlib.sha256()
        with self._telling(path), target.open("wb") as stream:
            for chunk in self._get(path).stream(min_chunk_size=_CHUNK):
                hashing.update(chunk)
                stream.write(chunk)
        actual = hashing.hexdigest()
        if actual != checksum:
            raise ArtifactError(
                f"{path}: {SUMS} names sha256:{checksum}, but the store's bytes are sha256:{actual}"
            )

    def _get(self, path: str) -> "GetResult":
        import obstore

        return obstore.get(self._store, path)

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError:
            raise FetchError(f"{self._uri}: {what} is not there") from None
        except (BaseError, PermissionError) as error:
            raise FetchError(f"{self._uri}: {what}: {_line(error)}") from error


def _bring(source: _Source, destination: Path, digest: str) -> None:
    mounted = destination.is_mount()
    if mounted:
        _clear(destination)
    staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=destination if mounted else destination.parent))
    try:
        _download(source, staging, digest)
        staging.chmod(0o755)  # mkdtemp gives 0700; the server may run as another user
        if mounted:
            _move_files(staging, destination)
        else:
            _rename(staging, destination, digest)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    if mounted:
        verify(destination, digest)


def _download(source: _Source, staging: Path, digest: str) -> None:
    content = source.sums()
    check_sums(content, digest)
    for path, checksum in parse_sums(content).items():
        target = staging / path
        target.parent.mkdir(parents=True, exist_ok=True)
        source.download(path, target, checksum)
    (staging / SUMS).write_bytes(content)


def _clear(folder: Path) -> None:
    """Remove what a killed fetch left in this volume; only one process at a time fills a mount point."""
    for leftover in folder.glob(_STAGING + "*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _rename(staging: Path, destination: Path, digest: str) -> None:
    try:
        staging.rename(destination)  # replaces the empty folder, atomically
    except OSError:
        # Another process was faster; its bytes are ours if they verify.
        if not (destination / SUMS).exists():
            raise
        verify(destination, digest)


def _move_files(staging: Path, destination: Path) -> None:
    """File by file into a mount point; SHA256SUMS last, for it says that the rest is there."""
    files = sorted(path for path in staging.rglob("*") if path.is_file())
    files.sort(key=lambda path: path == staging / SUMS)
    for path in files:
        target = destination / path.relative_to(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def _line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:300]
