"""The content-addressed model store, `<store>/<model>/<64 hex>/`: put once, verified while copying, never changed."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainline.errors import Refusal
from v2serve.artifact import SUMS, ArtifactError, parse_sums, sums_digest

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_CHUNK = 1 << 20
# S3 takes no object into a bucket with Object Lock without one (API reference, PutObject, ChecksumAlgorithm).
_CHECKSUM = "SHA256"


class Store:
    """One object store (s3, gcs, azure, file) behind one URL, through obstore."""

    def __init__(self, url: str, endpoint: str | None = None) -> None:
        """`endpoint` is where an S3 that is not Amazon's answers; keys come from the environment (AWS_*)."""
        self.url = url.rstrip("/")
        self._endpoint = endpoint

    def put(self, model: str, digest: str, artifact: Path) -> bool:
        """Copy an artifact in; True when bytes were written, False when they were there already.

        SHA256SUMS goes last: an artifact is in the store when its sums are, so a copy that was cut off is
        simply made again. Every file is hashed as it is read, and one that is not what the sums say stops the copy.
        """
        sums = _local_sums(artifact, digest)
        if self.problem(model, digest) is None:
            return False
        for path, expected in parse_sums(sums).items():
            self._put_file(f"{model}/{digest[7:]}/{path}", artifact / path, expected)
        self._write(f"{model}/{digest[7:]}/{SUMS}", sums)
        return True

    def problem(self, model: str, digest: str) -> str | None:
        """Why the bytes under a digest are not what it says; None when they are. Reads every byte."""
        prefix = f"{model}/{digest[7:]}"
        sums = self._read(f"{prefix}/{SUMS}")
        if sums is None:
            return f"{digest} is not in the store {self.url}"
        if sums_digest(sums) != digest:
            return f"{SUMS} of {digest} was changed in the store {self.url}"
        for path, expected in parse_sums(sums).items():
            found = self._hash(f"{prefix}/{path}")
            if found != expected:
                what = "is missing" if found is None else "was changed"
                return f"{path} of {digest} {what} in the store {self.url}"
        return None

    def _put_file(self, key: str, source: Path, expected: str) -> None:
        digest = hashlib.sha256()
        try:
            self._write(key, _hashed_chunks(source, digest))
        except OSError as error:
            raise Refusal(f"{source.name} cannot be copied to the store {self.url}: {error}") from error
        if digest.hexdigest() != expected:
            self._store().delete(key)
            raise Refusal(f"{source.name} is not what {SUMS} says: sha256:{digest.hexdigest()}; train again")

    def _write(self, key: str, body: Any) -> None:
        try:
            self._store().put(key, body)
        except Exception as error:
            raise _refusal(self.url, error) from error

    def _read(self, key: str) -> bytes | None:
        try:
            return bytes(self._store().get(key).bytes())
        except FileNotFoundError:
            return None
        except Exception as error:
            raise _refusal(self.url, error) from error

    def _hash(self, key: str) -> str | None:
        digest = hashlib.sha256()
        try:
            for chunk in self._store().get(key).stream(min_chunk_size=_CHUNK):
                digest.update(chunk)
        except FileNotFoundError:
            return None
        except Exception as error:
            raise _refusal(self.url, error) from error
        return digest.hexdigest()

    def _store(self) -> "ObjectStore":
        import obstore.store

        try:
            if self.url.startswith("file://"):
                return obstore.store.LocalStore(self.url.removeprefix("file://"), mkdir=True)
            if not self.url.startswith("s3://"):
                return obstore.store.from_url(self.url)
            if self._endpoint is None:
                return obstore.store.from_url(self.url, checksum_algorithm=_CHECKSUM)
            plain = self._endpoint.startswith("http://")
            return obstore.store.from_url(
                self.url,
                checksum_algorithm=_CHECKSUM,
                endpoint=self._endpoint,
                client_options={"allow_http": plain},
            )
        except Exception as error:
            raise _refusal(self.url, error) from error


def _local_sums(artifact: Path, digest: str) -> bytes:
    try:
        sums = (artifact / SUMS).read_bytes()
        parse_sums(sums)
    except OSError as error:
        raise Refusal(
            f"the registered artifact {artifact} cannot be read: {error.strerror}; train again"
        ) from error
    except ArtifactError as error:
        raise Refusal(f"the registered artifact {artifact}: {error}; train again") from error
    found = sums_digest(sums)
    if found != digest:
        raise Refusal(f"the registry names {digest}, but the artifact's {SUMS} is {found}; train again")
    return sums


def _hashed_chunks(source: Path, digest: Any) -> Iterator[bytes]:
    with source.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            yield chunk


def _refusal(url: str, error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    words = str(error).strip().splitlines() or [type(error).__name__]
    return Refusal(f"the store {url} cannot be used: {words[0]}")
