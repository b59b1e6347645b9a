"""Checkpoints: whole or not there, of one state only, here and in a store."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("safetensors")

from trainkit.checkpoints import VARIABLE, Checkpoint, Checkpoints, checkpoints, state_of
from trainkit.errors import TrainError

pytestmark = pytest.mark.fleet


def checkpoint(step: int) -> Checkpoint:
    tensors: dict[str, Any] = {"b": np.full((2, 3), step, np.float32), "a": np.arange(step)}
    return Checkpoint(step, tensors, {"loss": 0.5})


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_was_saved_last_comes_back(tmp_path: Path) -> None:
    made = Checkpoints(tmp_path, "one")
    assert made.latest() is None
    for step in (1, 2, 3):
        made.save(checkpoint(step))
    found = Checkpoints(tmp_path, "one").latest()
    assert found is not None
    assert (found.step, found.facts) == (3, {"loss": 0.5})
    assert {name: values.tolist() for name, values in found.tensors.items()} == {
        "a": [0, 1, 2],
        "b": [[3.0] * 3] * 2,
    }
    assert found.tensors["b"].dtype == np.float32


def test_only_the_newest_two_are_kept(tmp_path: Path) -> None:
    made = Checkpoints(tmp_path, "one")
    for step in (9, 10, 11):
        made.save(checkpoint(step))
    assert files(tmp_path) == ["one/0.safetensors", "one/1.safetensors"]


def test_another_state_starts_anew(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "one").save(checkpoint(1))
    assert Checkpoints(tmp_path, "two").latest() is None


def test_the_same_checkpoint_is_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        Checkpoints(tmp_path / folder, "one").save(checkpoint(3))
    first, second = (tmp_path / folder / "one/1.safetensors" for folder in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("harm", ["cut", "empty", "changed", "text"])
def test_one_that_does_not_read_is_passed_over(tmp_path: Path, harm: str) -> None:
    made = Checkpoints(tmp_path, "one")
    made.save(checkpoint(1))
    made.save(checkpoint(2))
    newest = tmp_path / "one/0.safetensors"
    content = newest.read_bytes()
    harmed = {
        "cut": content[:-3],
        "empty": b"",
        "changed": content[:-1] + bytes([content[-1] ^ 1]),
        "text": b"weights",
    }
    newest.write_bytes(harmed[harm])
    found = made.latest()
    assert found is not None
    assert found.step == 1


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    payload = b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR."
    (tmp_path / "one/1.safetensors").write_bytes(payload)
    assert Checkpoints(tmp_path, "one").latest() is None
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("a file in the way", encoding="utf-8")
    with pytest.raises(TrainError, match="one: File exists; free the disk or fix it"):
        Checkpoints(tmp_path, "one").save(checkpoint(1))


def test_another_machine_goes_on_from_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"file://{tmp_path}/store/checkpoints")
    first = checkpoints(tmp_path / "pod-1", "one")
    for step in (1, 2, 3):
        first.save(checkpoint(step))
    stored = files(tmp_path / "store/checkpoints")
    assert stored == ["one/0.safetensors", "one/1.safetensors"]
    found = checkpoints(tmp_path / "pod-2", "one").latest()
    assert found is not None
    assert found.step == 3


def test_the_store_helps_where_the_own_file_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"file://{tmp_path}/store")
    made = checkpoints(tmp_path / "pod", "one")
    made.save(checkpoint(4))
    (tmp_path / "pod/one/0.safetensors").write_bytes(b"cut")
    found = made.latest()
    assert found is not None
    assert found.step == 4


def test_a_store_that_is_no_store_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "checkpoints")
    with pytest.raises(TrainError, match=r"TRAINKIT_CHECKPOINTS is checkpoints: .*check the address"):
        checkpoints(tmp_path, "one")


def test_a_state_follows_from_values_and_files(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text("one", encoding="utf-8")
    before = state_of({"b": 1, "a": 2}, code)
    assert before == state_of({"a": 2, "b": 1}, code)
    assert len({before, state_of({"a": 2, "b": 2}, code), state_of({"b": 1, "a": 2})}) == 3
    code.write_text("two", encoding="utf-8")
    assert state_of({"b": 1, "a": 2}, code) != before
