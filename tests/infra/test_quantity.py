"""Quantities: Go's canonical form, and what is no quantity."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.declarations.quantity import amount, canonical

CANONICAL = [
    ("0.1", "100m"),
    ("1", "1"),
    ("1.5", "1500m"),
    ("1000m", "1"),
    ("250m", "250m"),
    ("1000", "1k"),
    ("1024", "1024"),
    ("1024Mi", "1Gi"),
    ("1Gi", "1Gi"),
    ("1536Mi", "1536Mi"),
    ("1.5Gi", "1536Mi"),
    ("0.5Gi", "512Mi"),
    ("2000M", "2G"),
    ("0", "0"),
    ("0.000001", "1u"),
]


@pytest.mark.parametrize(("written", "canonical_form"), CANONICAL)
def test_quantities_become_what_go_writes(written: str, canonical_form: str) -> None:
    assert canonical(written) == canonical_form


@pytest.mark.parametrize("text", ["", "1 Gi", "1gi", "-1", "1e3", "Gi", "1.Gi", "1Gib", "٣", "1" * 20])
def test_other_words_are_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity; write it like '250m'"):
        canonical(text)


@given(st.integers(0, 10**9), st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi"]))
def test_the_canonical_form_means_the_same_and_is_stable(number: int, suffix: str) -> None:
    written = f"{number}{suffix}"
    assert amount(canonical(written)) == amount(written)
    assert canonical(canonical(written)) == canonical(written)
