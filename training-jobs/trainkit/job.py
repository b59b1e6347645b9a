"""Read `job.yaml`: which model a job makes, and from which bytes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainkit.errors import TrainError
from trainkit.yaml_file import read_yaml

FIELDS = {"name", "owner", "model", "data", "image", "nodes", "gpus", "resources", "deadline", "retries"}
ORIGINS = ("package", "url", "source")
DATA_FIELDS = {"name", "sha256", *ORIGINS, "mirror", "licence"}
SLUG = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
HEX = re.compile(r"[0-9a-f]{64}")
FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
MIRROR_PATH = re.compile(rf"{FILE.pattern}(/{FILE.pattern})*")
LINE = re.compile(r"\S[^\n\r]{0,299}")
PACKAGE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*/[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class DataFile:
    """A file that training reads; `sha256` is 64 hex digits; exactly one of `package`, `url` and `source` is set.

    `source` is the page of the data where these bytes, which are derived from it, cannot be downloaded.
    `mirror` is the path below the folder of MAINLINE_DATASETS.
    """

    name: str
    sha256: str
    package: str | None
    url: str | None
    source: str | None
    mirror: str
    licence: str | None


@dataclass(frozen=True)
class Job:
    """`folder` is absolute; `deadline` is in seconds."""

    name: str
    model: str
    data: tuple[DataFile, ...]
    deadline: int
    folder: Path

    @property
    def code(self) -> Path:
        """The model.py that serves what the job makes, where ONNX alone does not do; it may not exist."""
        return self.folder.parents[1] / "model-servers" / self.model / "model.py"

    def path_of(self, data: DataFile) -> Path:
        return self.folder / "data" / data.name

    def digests(self) -> dict[str, str]:
        return {data.name: f"sha256:{data.sha256}" for data in self.data}


def read_job(folder: Path) -> Job:
    """The declaration in `folder`; refuses unknown fields, so that a typo never becomes a default."""
    found = _mapping(read_yaml(folder / "job.yaml", f"{folder} is not a training job"), "job.yaml")
    _only(found, FIELDS, "job.yaml")
    name = _text(found, "name", SLUG, "lower-case letters, digits and dashes")
    if name != folder.resolve().name:
        raise TrainError(
            f"job.yaml: name is {name!r}; it must be the folder's name, {folder.resolve().name!r}"
        )
    return Job(
        name=name,
        model=_text(found, "model", SLUG, "lower-case letters, digits and dashes"),
        data=_data_files(found.get("data")),
        deadline=_deadline(found.get("deadline", 3600)),
        folder=folder.resolve(),
    )


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise TrainError(f"{where} must be a mapping of names to values, not {type(value).__name__}")
    return value


def _only(found: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in sorted(set(found) - known):
        raise TrainError(f"{where}: unknown field {key!r}; known: {', '.join(sorted(known))}")


def _text(found: Mapping[str, Any], field: str, shape: re.Pattern[str], meaning: str) -> str:
    value = found.get(field)
    if not isinstance(value, str) or not shape.fullmatch(value):
        raise TrainError(f"job.yaml: {field} is {value!r}; write {meaning}")
    return value


def _data_files(value: Any) -> tuple[DataFile, ...]:
    if not isinstance(value, list) or not value:
        raise TrainError("job.yaml: data is empty; list the files that the job reads, with their sha256")
    files = tuple(_data_file(_mapping(item, "job.yaml: data")) for item in value)
    names = [file.name for file in files]
    for name in names:
        if names.count(name) > 1:
            raise TrainError(f"job.yaml: data has two files named {name!r}; name them apart")
    return files


def _data_file(item: Mapping[str, Any]) -> DataFile:
    _only(item, DATA_FIELDS, "job.yaml: data")
    name = _text(item, "name", FILE, "a plain file name")
    return DataFile(
        name=name,
        sha256=_text(item, "sha256", HEX, "the 64 lower-case hex digits that sha256sum prints (quoted)"),
        mirror=_text({"mirror": name, **item}, "mirror", MIRROR_PATH, "a path below the mirror's folder"),
        licence=_text(item, "licence", LINE, "one line of text") if "licence" in item else None,
        **_origin(item),
    )


def _origin(item: Mapping[str, Any]) -> dict[str, str | None]:
    """`package`, `url` and `source`, of which exactly one is not None."""
    found = {name: item.get(name) for name in ORIGINS}
    if sum(value is not None for value in found.values()) != 1:
        raise TrainError("job.yaml: data: give each file one of package:, url: and source:, exactly one")
    if found["package"] is not None:
        _text(item, "package", PACKAGE, "package.name/file, such as sklearn.datasets.data/iris.csv")
    for name in ("url", "source"):
        if found[name] is not None and not str(found[name]).startswith("https://"):
            raise TrainError(f"job.yaml: {name} is {found[name]!r}; only https:// is fetched")
    return found


def _deadline(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TrainError(f"job.yaml: deadline is {value!r}; write a whole number of seconds")
    return value
