"""Strict YAML: what is read, what is refused, and where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.declarations.document import read_document
from infra.declarations.errors import DeclarationError

READ = {
    "words stay text": ("a: yes\nb: on\nc: No\n", {"a": "yes", "b": "on", "c": "No"}),
    "only true and false are booleans": (
        "a: true\nb: false\nc: True\n",
        {"a": True, "b": False, "c": "True"},
    ),
    "numbers": ("a: 1\nb: -2.5\nc: 1e-05\nd: 1.0e+3\n", {"a": 1, "b": -2.5, "c": 1e-05, "d": 1000.0}),
    "octal, hexadecimal and underscores are text": (
        "a: 0o7\nb: 0x1F\nc: 1_000\nd: 007\n",
        {"a": "0o7", "b": "0x1F", "c": "1_000", "d": "007"},
    ),
    "dates and times are text": ("a: 2026-01-01\nb: 1:20\n", {"a": "2026-01-01", "b": "1:20"}),
    "quoted numbers are text": ("a: '1'\nb: \"true\"\n", {"a": "1", "b": "true"}),
    "nothing is null": ("a:\nb: ~\nc: null\n", {"a": None, "b": None, "c": None}),
    "an empty file is null": ("", None),
}
REFUSED = {
    "a key twice": ("a: 1\nb: 2\na: 3\n", "f.yaml:3: a: is there twice, first on line 1; remove one"),
    "a nested key twice": (
        "x:\n  - a: 1\n    a: 2\n",
        "f.yaml:3: x[0].a: is there twice, first on line 2; remove one",
    ),
    "an alias": ("a: &x [1]\nb: *x\n", "b: is an alias; write the value out"),
    "a tag": ("a: !!python/name:os.system x\n", "has a tag; write plain YAML"),
    "a tagged list": ("a: !foo [1]\n", "'!foo' is a tag; write plain YAML"),
    "a number as key": ("1: a\n", "f.yaml:1: key '1' is not text; put it in quotes"),
    "a list as key": ("[1]: a\n", "is not text; put it in quotes"),
    "two documents": ("a: 1\n---\nb: 2\n", "f.yaml:2: but found another document; not YAML"),
    "broken YAML": ("a: [1\nb: 2\n", "f.yaml:2: did not find expected ',' or ']'; not YAML"),
    "a tab": ("a:\n\tb: 1\n", "f.yaml:2: found character that cannot start any token; not YAML"),
    "a control character": ("a: \x07\n", "control characters are not allowed"),
    "a number of 5,000 digits": ("a: " + "9" * 5000, "is too long for a number; put it in quotes"),
    "a word tagged as a number": ("a: !!int x\n", "'x' has a tag; write plain YAML"),
}


@pytest.mark.parametrize(("text", "value"), READ.values(), ids=READ)
def test_plain_yaml_is_read(text: str, value: object) -> None:
    assert read_document("f.yaml", text).value == value


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_loose_yaml_is_refused(text: str, reason: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        read_document("f.yaml", text)
    assert reason in str(caught.value)
    assert str(caught.value).startswith("f.yaml:")


def test_every_key_and_item_has_its_line() -> None:
    document = read_document("f.yaml", "a: 1\nb:\n  - c: 2\n  - d: 3\n")
    assert [document.line(at) for at in [("a",), ("b",), ("b", 0, "c"), ("b", 1, "d")]] == [1, 2, 3, 4]


def test_the_line_of_something_missing_is_that_of_what_is_around_it() -> None:
    document = read_document("f.yaml", "a: 1\nb:\n  c: 2\n")
    assert document.line(("b", "missing")) == 2
    assert document.line(("missing",)) == 1


def test_all_problems_of_a_file_are_reported_at_once() -> None:
    with pytest.raises(DeclarationError) as caught:
        read_document("f.yaml", "a: 1\na: 2\nb: 3\nb: 4\n")
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused_and_does_not_end_the_process(opening: str) -> None:
    with pytest.raises(DeclarationError, match="is nested more than 100 deep; write it flatter"):
        read_document("f.yaml", opening * 50_000)


def test_a_huge_file_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(DeclarationError, match="is longer than 1048576 characters; split it"):
        read_document("f.yaml", "".join(f"{' ' * depth}a:\n" for depth in range(2000)))


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_a_reason(text: str) -> None:
    assert all(line.startswith("f.yaml:") for line in _problems(text))


def _problems(text: str) -> tuple[str, ...]:
    try:
        read_document("f.yaml", text)
    except DeclarationError as error:
        return error.problems
    return ()
