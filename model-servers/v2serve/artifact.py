"""The digest of an artifact folder: written once, checked before a byte of the model is used.

An artifact is a folder of regular files plus `SHA256SUMS`, which holds what `sha256sum` prints for each of
them, lines sorted bytewise. The digest of the artifact is the sha256 of `SHA256SUMS`.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

SUMS = "SHA256SUMS"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9._/-]+)", re.ASCII)
_PATH = re.compile(r"[A-Za-z0-9._/-]+", re.ASCII)


class ArtifactError(ValueError):
    """The folder is not the artifact it should be; the message is one line that names the file or digest."""


def write_sums(folder: Path) -> str:
    """Write `SHA256SUMS` for every file of the folder, atomically, and return the digest ("sha256:<hex>")."""
    paths = _files(folder)
    if not paths:
        raise ArtifactError(f"{folder}: no files; an artifact holds at least one")
    lines = sorted(f"{_sha256(folder / path)}  {path}\n" for path in paths)
    content = "".join(lines).encode("ascii")
    _replace(folder / SUMS, content)
    return sums_digest(content)


def digest(folder: Path) -> str:
    """The artifact's digest, after hashing every file again; raises ArtifactError if one differs."""
    content = _read_sums(folder)
    _check_files(folder, parse_sums(content))
    return sums_digest(content)


def verify(folder: Path, expected: str) -> None:
    """Raise ArtifactError unless the folder holds exactly the artifact whose digest is `expected`."""
    check_digest(expected)
    content = _read_sums(folder)
    check_sums(content, expected)
    _check_files(folder, parse_sums(content))


def check_digest(text: str) -> str:
    """The text itself if it is a digest, "sha256:<64 lowercase hex>"; raises ArtifactError otherwise."""
    if not _DIGEST.fullmatch(text):
        raise ArtifactError(f"digest {text!r} is malformed; write sha256:<64 lowercase hex digits>")
    return text


def check_sums(content: bytes, expected: str) -> None:
    """Raise ArtifactError unless these bytes of SHA256SUMS have the digest that Git names."""
    actual = sums_digest(content)
    if actual != expected:
        raise ArtifactError(f"the release names {expected}, but the bytes are {actual}")


def sums_digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def parse_sums(content: bytes) -> dict[str, str]:
    """SHA256SUMS as {path: hex}; raises ArtifactError for anything that write_sums would not have written."""
    lines = _lines(content)
    sums: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ArtifactError(f"{SUMS} line {number}: {line[:120]!r} is not '<64 hex>  <path>'")
        checksum, path = match.groups()
        if path in sums:
            raise ArtifactError(f"{SUMS} line {number}: {path} is named twice")
        sums[_check_path(path)] = checksum
    _check_no_file_is_a_folder(sums)
    return sums


def _lines(content: bytes) -> list[str]:
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{SUMS} byte {error.start} is not ASCII; write it with write_sums") from None
    if not text.endswith("\n"):
        raise ArtifactError(f"{SUMS} is empty or does not end with a newline; write it with write_sums")
    lines = text[:-1].split("\n")
    if lines != sorted(lines):
        raise ArtifactError(f"{SUMS}: lines are not sorted; write it with write_sums")
    return lines


def _check_path(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise ArtifactError(f"path {path!r} has characters outside [A-Za-z0-9._/-]; rename the file")
    if path == SUMS or any(part in ("", ".", "..") for part in path.split("/")):
        raise ArtifactError(f"path {path!r} is not a plain relative path inside the artifact")
    if path.startswith("-"):
        # sha256sum takes "-" for its standard input, and other programs take such a name for an option.
        raise ArtifactError(f"path {path!r} starts with '-'; rename the file")
    return path


def _check_no_file_is_a_folder(sums: dict[str, str]) -> None:
    for path in sums:
        for parent in PurePosixPath(path).parents:
            if str(parent) in sums:
                raise ArtifactError(f"{SUMS}: {parent} is both a file and the folder of {path}")


def _check_files(folder: Path, sums: dict[str, str]) -> None:
    present = set(_files(folder))
    if extra := sorted(present - sums.keys()):
        raise ArtifactError(f"{extra[0]}: extra file that {SUMS} does not name")
    if missing := sorted(sums.keys() - present):
        raise ArtifactError(f"{missing[0]}: missing file that {SUMS} names")
    for path, checksum in sums.items():
        actual = _sha256(folder / path)
        if actual != checksum:
            raise ArtifactError(
                f"{path}: changed; {SUMS} names sha256:{checksum}, the bytes are sha256:{actual}"
            )


def _read_sums(folder: Path) -> bytes:
    path = folder / SUMS
    if path.is_symlink() or not path.is_file():
        raise ArtifactError(f"{path}: missing or not a regular file; an artifact has one")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}") from error


def _files(folder: Path) -> list[str]:
    """Relative paths of every file but SHA256SUMS itself; links, devices and empty folders are refused."""
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: not a folder")
    try:
        found = list(_walk(str(folder), ""))
    except OSError as error:
        raise ArtifactError(f"{error.filename}: {error.strerror}") from error
    return [path for path in found if path != SUMS]


def _walk(folder: str, prefix: str) -> Iterator[str]:
    with os.scandir(folder) as scan:
        entries = list(scan)
    if not entries and prefix:
        raise ArtifactError(f"{prefix[:-1]}: empty folder; {SUMS} cannot name it, remove it")
    for entry in entries:
        path = prefix + entry.name
        if path != SUMS:
            _check_path(path)
        yield from _entry(entry, path)


def _entry(entry: os.DirEntry[str], path: str) -> Iterator[str]:
    if entry.is_symlink():
        raise ArtifactError(f"{path}: a link; an artifact holds regular files only")
    if entry.is_dir():
        yield from _walk(entry.path, path + "/")
    elif entry.is_file():
        yield path
    else:
        raise ArtifactError(f"{path}: neither a file nor a folder; an artifact holds regular files only")


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}") from error


def _replace(path: Path, content: bytes) -> None:
    """All of the content or the old file: a reader never sees half of it."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            os.fchmod(stream.fileno(), 0o644)  # mkstemp gives 0600; the server may run as another user
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
