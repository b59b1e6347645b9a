"""A folder of a model store, read once and in order: s3, gcs, azure or file, by obstore."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

CHUNK = 1 << 20

# obstore's own limit for a whole answer is 30 s, which is short for a model; a stalled connection is what matters.
_TIMES = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "24h"}
_RETRIES: "RetryConfig" = {
    "max_retries": 5,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
}
_ENDPOINTS = ("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AZURE_ENDPOINT")
# obstore gives up a stream that breaks after retry_timeout, so a long download is asked for again from where it is.
_BREAKS = 20
_FIXES = {
    errno.ENOSPC: "free space there, or give the volume more",
    errno.EDQUOT: "free space there, or raise the quota",
    errno.EFBIG: "raise the limit of file sizes",
    errno.EROFS: "mount it writable, or name another folder",
    errno.EACCES: "let this user write there, or name another folder",
    errno.EPERM: "let this user write there, or name another folder",
}


class FetchError(ValueError):
    """The artifact could not be fetched; the message is one line that names the URI or the folder."""


class Source:
    """What lies under a URI, whose failures are one line that names it."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with self._telling("the store"):
            self._store = _opened(uri)

    def whole(self, path: str, limit: int) -> bytes:
        """All of a small file; FetchError if the store has more than `limit` bytes of it."""
        import obstore

        with self._telling(path):
            answer = obstore.get(self._store, path)
            size = answer.meta["size"]
            if size > limit:
                raise FetchError(f"{self._uri}: {path} has {size} bytes; at most {limit} are read")
            return bytes(answer.bytes())

    def size(self, path: str) -> int:
        import obstore

        with self._telling(path):
            return obstore.head(self._store, path)["size"]

    def stream(self, path: str, start: int) -> Iterator[bytes]:
        """The bytes from `start` on, about a chunk in memory at a time; goes on after a break that brought some."""
        position, breaks = start, 0
        while True:
            since = position
            try:
                for chunk in self._chunks(path, position):
                    position += len(chunk)
                    yield chunk
                return
            except FetchError:
                breaks += 1
                if position == since or breaks > _BREAKS:
                    raise

    def _chunks(self, path: str, start: int) -> Iterator[bytes]:
        import obstore

        options: GetOptions = {"range": {"offset": start}} if start else {}
        with self._telling(path):
            stream = iter(obstore.get(self._store, path, options=options).stream(min_chunk_size=CHUNK))
        while True:
            with self._telling(path):
                chunk = next(stream, b"")
            if not chunk:
                return
            yield chunk

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError:
            raise FetchError(f"{self._uri}: {what} is not there") from None
        except (BaseError, OSError) as error:
            raise FetchError(f"{self._uri}: {what}: {line(error)}") from error


def reason(error: OSError) -> str:
    """What the system says and what a person can do about it."""
    said = error.strerror or line(error)
    fix = _FIXES.get(error.errno or 0)
    return f"{said}; {fix}" if fix else said


def line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:300]


def _opened(uri: str) -> "ObjectStore":
    from obstore.store import from_url

    if uri.startswith("file://"):
        return from_url(uri)
    return from_url(uri, client_options=_client(os.environ), retry_config=_RETRIES)


def _client(environment: Mapping[str, str]) -> "ClientConfig":
    """obstore reads AWS_ALLOW_HTTP itself, and forgets it when it is given options.

    KServe gives AWS_ENDPOINT_URL alone: an address that is written with http:// is meant so.
    """
    options: Any = dict(_TIMES)
    told = [environment.get(f"{cloud}_ALLOW_HTTP", "").lower() for cloud in ("AWS", "GOOGLE", "AZURE")]
    plain = [environment.get(name, "").startswith("http://") for name in _ENDPOINTS]
    if "true" in told or "1" in told or any(plain):
        options["allow_http"] = True
    return options  # type: ignore[no-any-return]
