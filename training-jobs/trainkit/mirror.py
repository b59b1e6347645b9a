"""An object store under a URL (s3://, gs://, az://, file://): where a cluster keeps data sets and checkpoints."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainkit.errors import TrainError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CHUNK = 1 << 20
_TIMES = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "1h"}
_RETRIES: Any = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}


def is_store(mirror: str) -> bool:
    """Whether MAINLINE_DATASETS names a store and not a folder."""
    return "://" in mirror


def copy_object(mirror: str, path: str, to: Path, variable: str) -> bool:
    """Write the object at `path` below the URL `mirror` to the file `to`; False if the store has no such object.

    `variable` is the environment variable that names the store: the error says which one to look at.
    """
    import obstore

    with telling(variable, mirror):
        try:
            answer = obstore.get(opened(mirror, variable), path)
        except FileNotFoundError:
            return False
        with to.open("wb") as out:
            for chunk in answer.stream(min_chunk_size=CHUNK):
                out.write(chunk)
    return True


def opened(url: str, variable: str) -> "ObjectStore":
    """The store under `url`; credentials and AWS_ENDPOINT_URL come from the environment."""
    try:
        from obstore.store import from_url
    except ModuleNotFoundError:
        raise TrainError(f"{variable} is {url}: the package obstore is not installed; install it") from None
    with telling(variable, url):
        if url.startswith("file://"):
            return from_url(url, mkdir=True)
        return from_url(url, client_options=_client(), retry_config=_RETRIES)


@contextmanager
def telling(variable: str, url: str) -> Iterator[None]:
    """What the store says, in one line; a missing object stays FileNotFoundError."""
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError, ValueError) as error:
        said = str(error).split("\n", 1)[0][:300]
        raise TrainError(f"{variable} is {url}: {said}; check the address and what may read it") from None


def _client() -> Any:
    """obstore forgets AWS_ALLOW_HTTP when it is given options; an endpoint written with http:// is meant so."""
    plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    return {**_TIMES, **({"allow_http": True} if plain else {})}
