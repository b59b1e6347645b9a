"""Checkpoints of a training that may be killed at any time: safetensors, here and, in a cluster, in the store."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainkit.errors import TrainError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

VARIABLE = "TRAINKIT_CHECKPOINTS"
KEPT = 2  # the newest, and the one before it in case the newest does not read
_DIGITS = 8
_HASH = "content"


@dataclass(frozen=True)
class Checkpoint:
    """`step` counts what is done (epochs, rounds); `facts` are small values that go with the tensors."""

    step: int
    tensors: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)


def state_of(*inputs: object) -> str:
    """A name for what a training depends on: JSON values, and the bytes of files given by their Path."""
    digest = sha256()
    for given in inputs:
        content = (
            given.read_bytes() if isinstance(given, Path) else json.dumps(given, sort_keys=True).encode()
        )
        digest.update(sha256(content).digest())
    return digest.hexdigest()[:16]


class Checkpoints:
    """Of one state of one training: another state never goes on from them. Nothing in them is executed."""

    def __init__(self, folder: Path, state: str, store: "ObjectStore | None" = None) -> None:
        self._folder = folder / state
        self._state = state
        self._store = store

    def save(self, checkpoint: Checkpoint) -> None:
        """Whole or not at all, wherever we are killed; then the oldest go. TrainError where there is no room."""
        content, name = _packed(checkpoint), _name(checkpoint.step)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write(self._folder / name, content)
            for old in self._local()[:-KEPT]:
                (self._folder / old).unlink(missing_ok=True)
        except OSError as error:
            raise TrainError(f"{self._folder}: {error.strerror or error}; free the disk or fix it") from None
        if self._store is not None:
            self._send(self._store, name, content)

    def latest(self) -> Checkpoint | None:
        """The newest that reads, from here or from the store; None if there is nothing to go on from."""
        places = {(name, False) for name in self._remote()} | {(name, True) for name in self._local()}
        for name, here in sorted(places, reverse=True):
            if (found := _unpacked(self._content(name, here))) is not None:
                return found
        return None

    def _content(self, name: str, here: bool) -> bytes:
        if here:
            return (self._folder / name).read_bytes()
        import obstore

        assert self._store is not None  # noqa: S101 - the name came from it
        with _telling(VARIABLE):
            return bytes(obstore.get(self._store, f"{self._state}/{name}").bytes())

    def _local(self) -> list[str]:
        return sorted(path.name for path in self._folder.glob("*.safetensors"))

    def _remote(self) -> list[str]:
        if self._store is None:
            return []
        import obstore

        with _telling(VARIABLE):
            found = obstore.list(self._store, prefix=f"{self._state}/").collect()
        return sorted(item["path"].rpartition("/")[2] for item in found)

    def _send(self, store: "ObjectStore", name: str, content: bytes) -> None:
        import obstore

        with _telling(VARIABLE):
            obstore.put(store, f"{self._state}/{name}", content)
        for old in self._remote()[:-KEPT]:
            with _telling(VARIABLE):
                obstore.delete(store, f"{self._state}/{old}")


def checkpoints(folder: Path, state: str) -> Checkpoints:
    """In `folder`; in the store too where TRAINKIT_CHECKPOINTS names a prefix of it, such as s3://bucket/checkpoints."""
    from trainkit.mirror import opened

    prefix = os.environ.get(VARIABLE)
    return Checkpoints(folder, state, opened(prefix, VARIABLE) if prefix else None)


def _telling(variable: str) -> Any:
    from trainkit.mirror import telling

    return telling(variable, os.environ.get(variable, "the store"))


def _name(step: int) -> str:
    return f"{step:0{_DIGITS}}.safetensors"


def _packed(checkpoint: Checkpoint) -> bytes:
    """The tensors, with a hash of them: safetensors itself does not notice a changed value."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(values) for name, values in sorted(checkpoint.tensors.items())}
    facts = {"step": checkpoint.step, "facts": checkpoint.facts, _HASH: _hash(tensors)}
    return bytes(save(tensors, {"checkpoint": json.dumps(facts, sort_keys=True)}))


def _unpacked(content: bytes) -> Checkpoint | None:
    """None for what was cut off or changed: an older one will do."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(content)
        size = int.from_bytes(content[:8], "little")
        facts = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["checkpoint"])
        found = Checkpoint(facts["step"], tensors, facts["facts"])
        return found if facts[_HASH] == _hash(tensors) else None
    except (SafetensorError, ValueError, KeyError, TypeError):
        return None


def _hash(tensors: Mapping[str, NDArray[Any]]) -> str:
    digest = sha256()
    for name, values in sorted(tensors.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _write(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".part")
    with draft.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
