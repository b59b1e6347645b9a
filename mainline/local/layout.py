"""Where the embedded environment keeps its state, and how its small JSON files are written."""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainline.errors import Refusal


class LocalError(Refusal):
    """The embedded environment says no, in one clear line."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below `<root>/.mainline`; naming them creates nothing."""

    root: Path

    @property
    def state(self) -> Path:
        return self.root / ".mainline"

    @property
    def gitops(self) -> Path:
        return self.state / "gitops.git"

    @property
    def store(self) -> Path:
        return self.state / "store"

    @property
    def run(self) -> Path:
        return self.state / "run"

    @property
    def objects(self) -> Path:
        return self.state / "objects.json"

    @property
    def status(self) -> Path:
        return self.state / "status.json"

    def record(self, name: str) -> Path:
        return self.run / f"{name}.json"

    def lock(self, name: str) -> Path:
        return self.run / f"{name}.lock"

    def log(self, name: str) -> Path:
        return self.state / "logs" / f"{name}.log"

    def model(self, name: str) -> Path:
        """The model folder of one server: what /mnt/models is in a pod."""
        return self.state / "models" / name

    def prepare(self) -> None:
        """Create the folders; refuse a place that cannot be written, before any process starts."""
        folders = (self.run, self.state / "logs", self.state / "models")
        try:
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
            for folder in (self.state, *folders):
                tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            reason = error.strerror or str(error)
            raise LocalError(
                f"{self.state}: cannot be written ({reason}); make it writable or choose another root"
            ) from error


def write_json(path: Path, value: Any) -> None:
    """Atomic: a reader sees the old file or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, separators=(",", ":")), "utf-8")
    temporary.replace(path)


def read_json(path: Path) -> Any | None:
    """The value, or None where the file is missing or is not JSON (a crash of the machine can leave that)."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def mapping_at(path: Path) -> dict[str, Any] | None:
    value = read_json(path)
    return value if isinstance(value, dict) else None


Stamp = tuple[int, int, int] | None


def stamp(path: Path) -> Stamp:
    """Differs whenever the file was replaced or written; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
