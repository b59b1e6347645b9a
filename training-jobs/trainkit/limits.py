"""What a parameter may be: declared as `Annotated[float, Between(0, 1)]`, held to by trainkit.params."""

from dataclasses import dataclass
from typing import Annotated, Any, Protocol, get_args

LARGEST_SEED = (1 << 32) - 1  # what every generator takes


class Limit(Protocol):
    """`holds` for a value of the field's type; `told` ends the sentence `write ...`."""

    def holds(self, value: Any) -> bool: ...
    def told(self) -> str: ...


@dataclass(frozen=True)
class Between:
    """A number from `low` to `high`, both taken."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def told(self) -> str:
        return f"{_plain(self.low)} to {_plain(self.high)}"


@dataclass(frozen=True)
class AboveZero:
    """A number above 0, up to `high`."""

    high: float

    def holds(self, value: float) -> bool:
        return 0 < value <= self.high

    def told(self) -> str:
        return f"a number above 0, at most {_plain(self.high)}"


class OneOf:
    """One of some words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def holds(self, value: str) -> bool:
        return value in self.words

    def told(self) -> str:
        return " or ".join(self.words)


Count = Annotated[int, Between(1, 1_000_000)]
Share = Annotated[float, Between(0, 1)]
Seed = Annotated[int, Between(0, LARGEST_SEED)]
Folds = Annotated[int, Between(2, 1_000_000)]  # and no more than there is of what is folded
Trees = Annotated[int, Between(1, 10_000)]
Depth = Annotated[int, Between(1, 64)]
Epochs = Annotated[int, Between(1, 10_000)]
Resamples = Annotated[int, Between(100, 100_000)]  # fewer make no interval of 95 percent
Batch = Annotated[int, Between(1, 100_000)]  # rows at once
Rate = Annotated[float, AboveZero(10)]  # of learning
Penalty = Annotated[float, AboveZero(1e9)]  # of large weights, or its inverse
Tolerance = Annotated[
    float, Between(0, 1)
]  # of a graph's answers: probabilities, or what is scaled as they are
Variant = Annotated[str, OneOf("advanced", "baseline")]


def parts(kind: Any) -> tuple[Any, tuple[Limit, ...]]:
    """The type of a field and its limits; of a field that is not Annotated there are none."""
    base, *declared = get_args(kind) if hasattr(kind, "__metadata__") else (kind,)
    return base, tuple(one for one in declared if hasattr(one, "holds"))


def _plain(number: float) -> str:
    """4294967295 rather than 4.29497e+09."""
    return str(int(number)) if number == int(number) else f"{number:g}"
