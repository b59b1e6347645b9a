"""params.yaml is read strictly: what could be meant in two ways, and what cannot be read, is one line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from trainkit.errors import TrainError
from trainkit.limits import Between
from trainkit.params import read_params


@dataclass(frozen=True)
class Train:
    ridge: Annotated[float, Between(0, 1e10)]
    seed: int


def _read(folder: Path, text: str) -> Train:
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    return read_params("train", Train, folder)


def _refused(folder: Path, text: str) -> str:
    """What is said, after the file's own name."""
    with pytest.raises(TrainError) as refusal:
        _read(folder, text)
    told = str(refusal.value)
    assert "\n" not in told
    return told.replace(f"{folder}/", "")


def test_parameters_are_read_as_their_types(tmp_path: Path) -> None:
    assert _read(tmp_path, "train: {ridge: 1.0e-3, seed: 0}\n") == Train(1e-3, 0)
    assert _read(tmp_path, "train: {ridge: 0.5, seed: 100}\n") == Train(0.5, 100)


@pytest.mark.parametrize(
    ("written", "write"),
    [
        ("1e-3", "1.0e-3"),
        ("1e9", "1.0e+9"),
        ("1.0e9", "1.0e+9"),
        ("2.5E9", "2.5e+9"),
        ("-1e+3", "-1.0e+3"),
    ],
)
def test_a_number_that_yaml_takes_for_a_word_is_refused_with_how_to_write_it(
    tmp_path: Path, written: str, write: str
) -> None:
    told = _refused(tmp_path, f"train: {{ridge: {written}, seed: 0}}\n")
    assert told == f"params.yaml: train.ridge is '{written}'; write {write}"


@pytest.mark.parametrize("write", ["1.0e-3", "1.0e+9"])
def test_what_is_said_to_write_is_taken(tmp_path: Path, write: str) -> None:
    assert _read(tmp_path, f"train: {{ridge: {write}, seed: 0}}\n").ridge == float(write)


def test_another_word_than_a_number_is_refused_by_its_type(tmp_path: Path) -> None:
    told = _refused(tmp_path, "train: {ridge: large, seed: 0}\n")
    assert told == "params.yaml: train.ridge is 'large'; write a value of type float"


@pytest.mark.parametrize(
    ("written", "read"), [("010", "8"), ("1:30", "90"), ("-1:30", "-90"), ("1:30.5", "90.5")]
)
def test_a_number_that_yaml_reads_as_another_is_refused(tmp_path: Path, written: str, read: str) -> None:
    told = _refused(tmp_path, f"train:\n  ridge: 0.5\n  seed: {written}\n")
    assert told == f"params.yaml: line 3: {written} would be read as {read}; write plain digits"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "train:\n  seed: 1\n  ridge: 0.5\n  seed: 2\n",
            "line 4: seed is there already, in line 2; remove one",
        ),
        ("train: {}\nexport: {}\ntrain: {}\n", "line 3: train is there already, in line 1; remove one"),
    ],
)
def test_a_name_that_is_there_twice_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    assert _refused(tmp_path, text) == f"params.yaml: {reason}"


def test_names_that_cannot_be_sorted_are_unknown_parameters(tmp_path: Path) -> None:
    told = _refused(tmp_path, "train: {~: 1, x: 2, 3: 4}\n")
    assert told == "params.yaml: train.3 is not a parameter; known: ridge, seed"


def test_a_file_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    told = _refused(tmp_path, "[" * 5000)
    assert told == "params.yaml is nested too deeply; write names and values"


@pytest.mark.parametrize("value", ['!!int ""', "!!bool maybe", "!!timestamp soon", "2026-02-31", "9" * 5000])
def test_a_value_that_yaml_cannot_make_is_refused(tmp_path: Path, value: str) -> None:
    assert _refused(tmp_path, f"train: {{seed: {value}}}\n").startswith("params.yaml is not YAML: ")
