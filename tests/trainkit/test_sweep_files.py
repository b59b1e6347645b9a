"""The plain parts of a sweep: what may be searched, and what it found as a change of params.yaml."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.trainkit.sweeping import PARAMS
from trainkit.errors import TrainError
from trainkit.sweep_patch import patched, write_best
from trainkit.sweep_space import Choice, as_override, read_choice


@pytest.mark.parametrize(
    ("value", "choice"),
    [
        ({"low": 1, "high": 3}, Choice(low=1, high=3)),
        ({"low": 0.1, "high": 1, "log": True}, Choice(low=0.1, high=1, log=True)),
        ({"choices": [True, "a", 1]}, Choice(choices=(True, "a", 1))),
    ],
)
def test_a_range_or_a_list_is_a_choice(value: dict[str, Any], choice: Choice) -> None:
    assert read_choice("search.train.x", value) == choice


def test_a_range_is_whole_unless_a_number_of_it_is_a_float() -> None:
    assert Choice(low=1, high=3).whole
    assert not Choice(low=1, high=3, step=0.5).whole
    assert not Choice(low=1.0, high=3).whole


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([1, 2], r"search.train.x is \[1, 2\]; write \{low, high\}"),
        ({"low": 1}, "search.train.x is .*write {low, high}"),
        ({"low": 1, "high": 2, "steps": 1}, "search.train.x is .*write {low, high}"),
        ({"low": 3, "high": 3}, "low 3 is not below high 3"),
        ({"low": "1", "high": 3}, "search.train.x.low is '1'; write a number"),
        ({"low": True, "high": 3}, "search.train.x.low is True; write a number"),
        ({"low": 0, "high": 3, "log": True}, "log needs a low above 0 and no step"),
        ({"low": 1, "high": 3, "step": 0}, "step is not above 0"),
        ({"low": 0.0, "high": float("inf")}, "search.train.x.high is inf; write a number from -1e15 to 1e15"),
        ({"low": float("nan"), "high": 1.0}, "search.train.x.low is nan; write a number from -1e15 to 1e15"),
        ({"low": 1, "high": 10**400}, r"search.train.x.high is 10+\.\.\.; write a number from -1e15 to 1e15"),
        ({"low": 0.0, "high": 0.5, "step": 1e-30}, "search.train.x.step is 1e-30; write 5e-07 or more"),
        ({"choices": []}, r"search.train.x.choices is \[\]; list numbers"),
        ({"choices": [[1]]}, r"search.train.x.choices is \[\[1\]\]; list numbers"),
    ],
)
def test_a_choice_that_cannot_be_drawn_from_is_refused_by_name(value: Any, reason: str) -> None:
    with pytest.raises(TrainError, match=reason):
        read_choice("search.train.x", value)


def test_values_are_written_in_hydras_grammar() -> None:
    assert as_override("train.x", True) == "train.x=true"
    assert as_override("train.x", 1e-05) == "train.x=1e-05"
    assert as_override("train.x", "it's") == r"train.x='it\'s'"


def test_a_patch_changes_its_values_and_keeps_comments_and_order() -> None:
    found = patched(PARAMS, {"train.rate": 1e-05, "train.kind": "no"})
    assert found == PARAMS.replace("rate: 0.5", "rate: 1.0e-05").replace("plain", "'no'")


def test_a_value_of_another_section_is_left_alone() -> None:
    text = "train:\n  seed: 1\nevaluate:\n  seed: 2\n"
    assert patched(text, {"evaluate.seed": 3}) == "train:\n  seed: 1\nevaluate:\n  seed: 3\n"


def test_a_file_that_is_not_one_parameter_a_line_is_refused() -> None:
    with pytest.raises(TrainError, match=r"put work/best.yaml into it by hand"):
        patched("train: {seed: 1}\n", {"train.seed": 3})


def test_the_best_values_are_a_file_that_is_nested_as_params_yaml(tmp_path: Path) -> None:
    path = write_best(tmp_path, {"train.rate": 0.1, "train.width": 3}, "loss 0")
    assert path == tmp_path / "work/best.yaml"
    assert path.read_text(encoding="utf-8").startswith("# loss 0\n")
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == {"train": {"rate": 0.1, "width": 3}}
