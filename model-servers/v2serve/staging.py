"""Where an artifact lies until all of it is there: a folder for a destination and digest, one process at a time."""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = ".v2serve-partial-"
_HEX = 16


@contextmanager
def staged(destination: Path, digest: str, mounted: bool) -> Iterator[Path]:
    """The folder, ours alone until the end of the block: waits for another process that fills it."""
    home, name = (destination, "") if mounted else (destination.parent, f"{destination.name}-")
    prefix = PREFIX + name
    folder = home / f"{prefix}{digest.removeprefix('sha256:')[:_HEX]}"
    _clear_others(home, re.compile(re.escape(prefix) + (".*" if mounted else rf"[0-9a-f]{{{_HEX}}}")), folder)
    handle = _locked(folder)
    try:
        yield folder
    finally:
        os.close(handle)


def clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _locked(folder: Path) -> int:
    while True:
        folder.mkdir(exist_ok=True)
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        fcntl.flock(handle, fcntl.LOCK_EX)
        # The one who had it may have given it its name, or removed it: then ours is another folder.
        if _is(folder, handle):
            return handle
        os.close(handle)


def _is(folder: Path, handle: int) -> bool:
    try:
        return os.path.samestat(folder.stat(follow_symlinks=False), os.fstat(handle))
    except FileNotFoundError:
        return False


def _clear_others(home: Path, name: re.Pattern[str], ours: Path) -> None:
    """What a killed fetch of another digest left; a folder in use is left alone."""
    for found in home.glob(PREFIX + "*"):
        if found == ours or not name.fullmatch(found.name) or found.is_symlink():
            continue
        try:
            handle = os.open(found, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            clear(found)
        except BlockingIOError:
            continue
        finally:
            os.close(handle)
