"""Checkpoints of a training that may be killed at any time: safetensors, here and, in a cluster, in the store."""

import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
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
SLOTS = ("0.safetensors", "1.safetensors")
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
    """Of one state of one training: another state never goes on from them. Nothing in them is executed.

    Steps take turns in two slots: the newest, and the one before it in case the newest does not read. A store needs
    no permission to delete.
    """

    def __init__(self, folder: Path, state: str, store: "ObjectStore | None" = None) -> None:
        self._folder = folder / state
        self._state = state
        self._store = store

    def save(self, checkpoint: Checkpoint) -> None:
        """Whole or not at all, wherever we are killed. TrainError where there is no room."""
        content, slot = _packed(checkpoint), SLOTS[checkpoint.step % len(SLOTS)]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write(self._folder / slot, content)
        except OSError as error:
            raise TrainError(f"{self._folder}: {error.strerror or error}; free the disk or fix it") from None
        if self._store is not None:
            import obstore

            with _telling():
                obstore.put(self._store, f"{self._state}/{slot}", content)

    def latest(self) -> Checkpoint | None:
        """The newest that reads, from here or from the store; None if there is nothing to go on from."""
        contents = [get(slot) for get in (self._local, self._remote) for slot in SLOTS]
        found = [_unpacked(content) for content in contents if content is not None]
        return max((one for one in found if one), key=lambda one: one.step, default=None)

    def _local(self, slot: str) -> bytes | None:
        try:
            return (self._folder / slot).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise TrainError(f"{self._folder / slot}: {error.strerror}; check its permissions") from None

    def _remote(self, slot: str) -> bytes | None:
        if self._store is None:
            return None
        import obstore

        with _telling():
            try:
                return bytes(obstore.get(self._store, f"{self._state}/{slot}").bytes())
            except FileNotFoundError:
                return None


def checkpoints(folder: Path, state: str) -> Checkpoints:
    """In `folder`; in the store too where TRAINKIT_CHECKPOINTS names a prefix of it, such as s3://bucket/checkpoints."""
    from trainkit.mirror import opened

    prefix = os.environ.get(VARIABLE)
    return Checkpoints(folder, state, opened(prefix, VARIABLE) if prefix else None)


def _telling() -> AbstractContextManager[None]:
    from trainkit.mirror import telling

    return telling(VARIABLE, os.environ.get(VARIABLE, "the store"))


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
