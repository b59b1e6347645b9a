"""Kubernetes quantities in the one form that its API server writes back (apimachinery, resource.Quantity)."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator

_QUANTITY = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def amount(text: str) -> Decimal:
    """The number that a quantity means: cores, bytes. Raises ValueError."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity; write it like '250m', '2', '512Mi' or '1Gi'")
    number, suffix = Decimal(match[1]), match[2] or ""
    return number * 1024 ** _BINARY[suffix] if suffix in _BINARY else number.scaleb(_DECIMAL[suffix])


def canonical(text: str) -> str:
    """`0.1` as `100m`, `1024Mi` as `1Gi`: what Go's canonicalisation writes. Raises ValueError."""
    value = amount(text)
    if text[-1] == "i" and value >= 1024 and value == value.to_integral_value():
        return _scaled(int(value), 1024, ("", *_BINARY))
    nanos = value.scaleb(9)
    return _scaled(int(nanos), 1000, tuple(_DECIMAL)) if nanos else "0"


def _scaled(number: int, base: int, suffixes: tuple[str, ...]) -> str:
    step = 0
    while number % base == 0 and step < len(suffixes) - 1:
        number, step = number // base, step + 1
    return f"{number}{suffixes[step]}"


def _cpu(text: str) -> str:
    if text.endswith(("i", "k", "M", "G", "T", "P", "E")) or not Decimal("0.001") <= amount(text) <= 1024:
        raise ValueError(f"{text!r} is not an amount of CPU; write cores like '250m' or '2'")
    return canonical(text)


def _memory(text: str) -> str:
    if amount(text) < 1024**2 or amount(text) != int(amount(text)):
        raise ValueError(f"{text!r} is not an amount of memory; write bytes like '512Mi' or '2Gi'")
    return canonical(text)


Cpu = Annotated[str, AfterValidator(_cpu)]
Memory = Annotated[str, AfterValidator(_memory)]
