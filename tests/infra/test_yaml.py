"""The emitter writes what Go writes: golden files of the real provider, cases of the real library, and properties."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from infra.manifests.manifest import path
from infra.manifests.yaml import dump

GOLDEN = Path(__file__).parent / "golden"
OBJECTS = json.loads((GOLDEN / "render-mode" / "objects.json").read_text())
# Written by sigs.k8s.io/yaml 1.4.0 (JSONToYAML) for texts that its readers could take for something else.
GO = [json.loads(line) for line in (GOLDEN / "go-yaml.jsonl").read_text().splitlines()]
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x85\u2028\u2029\ufeff"), max_size=120
)
# PyYAML's reader knows no surrogates and takes no other control characters than these, even when escaped by Go.
VALUES = st.recursive(
    TEXTS | st.integers(-(2**53), 2**53) | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("item", OBJECTS, ids=path)
def test_an_object_has_the_path_and_the_bytes_of_the_provider(item: dict[str, Any]) -> None:
    assert dump(item).encode() == (GOLDEN / "render-mode" / "rendered" / path(item)).read_bytes()


def test_every_golden_file_is_somebodys() -> None:
    folder = GOLDEN / "render-mode" / "rendered"
    assert {path(item) for item in OBJECTS} == {
        f.relative_to(folder).as_posix() for f in folder.rglob("*.yaml")
    }


def test_ambiguous_texts_are_written_as_go_writes_them() -> None:
    wrong = [case["text"] for case in GO if dump(case["object"]) != case["text"]]
    assert len(GO) > 600
    assert wrong == []


@given(
    st.dictionaries(
        TEXTS.filter(lambda key: len(key) < 100 and "\n" not in key), VALUES, min_size=1, max_size=4
    )
)
def test_texts_survive_an_independent_reader(value: dict[str, Any]) -> None:
    assert yaml.load(dump(value), Loader=yaml.CBaseLoader) == _as_text(value)  # noqa: S506 (gives texts only)


def _as_text(value: Any) -> Any:
    """What a reader without types sees."""
    if isinstance(value, dict):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


@given(VALUES, st.randoms())
def test_the_order_of_keys_does_not_matter(value: Any, random: Any) -> None:
    def shuffled(item: Any) -> Any:
        if isinstance(item, list):
            return [shuffled(inner) for inner in item]
        if not isinstance(item, dict):
            return item
        keys = random.sample(list(item), len(item))
        return {key: shuffled(item[key]) for key in keys}

    plain = {"key": _with_names(value)}
    assert dump(shuffled(plain)) == dump(plain)


def _with_names(value: Any) -> Any:
    """Keys of letters: go-yaml's order of numbers among letters is no order at all."""
    if isinstance(value, list):
        return [_with_names(item) for item in value]
    if isinstance(value, dict):
        return {chr(97 + index): _with_names(item) for index, item in enumerate(value.values())}
    return value


@pytest.mark.parametrize("value", [b"x", object(), {1, 2}, (1,)], ids=["bytes", "object", "set", "tuple"])
def test_what_is_not_json_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="write text, a number, a boolean, a list or a mapping"):
        dump({"a": value})
