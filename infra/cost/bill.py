"""Money: an amount in the quietest, the usual and the busiest month, and the lines that it is made of."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from infra.cost.book import Range


@dataclass(frozen=True, slots=True)
class Money:
    """US dollars a month."""

    min: float = 0.0
    typical: float = 0.0
    max: float = 0.0

    def __add__(self, other: "Money") -> "Money":
        return Money(self.min + other.min, self.typical + other.typical, self.max + other.max)

    def __sub__(self, other: "Money") -> "Money":
        """A difference; its parts may fall."""
        return Money(self.min - other.min, self.typical - other.typical, self.max - other.max)

    def __mul__(self, factor: float) -> "Money":
        return Money(self.min * factor, self.typical * factor, self.max * factor)

    @property
    def free(self) -> bool:
        return self == Money()


@dataclass(frozen=True, slots=True)
class Line:
    """`model` is empty where no model is the reason; `team` pays."""

    group: str
    what: str
    team: str
    money: Money
    model: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.group, self.what, self.model


@dataclass(frozen=True, slots=True)
class Bill:
    """`notes`: what a reader of the sum has to know."""

    env: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def total(self) -> Money:
        return total(self.lines)


def total(lines: Iterable[Line]) -> Money:
    return sum((line.money for line in lines), Money())


def grouped(lines: Iterable[Line], by: Callable[[Line], str]) -> dict[str, Money]:
    """The sum of the lines of each group; lines of the empty group are left out."""
    sums: dict[str, Money] = {}
    for line in lines:
        if by(line):
            sums[by(line)] = sums.get(by(line), Money()) + line.money
    return dict(sorted(sums.items()))


def steady(amount: float) -> Money:
    """The same in every month."""
    return Money(amount, amount, amount)


def ranged(amounts: Range, price: float) -> Money:
    """An assumed amount at a price a unit."""
    return Money(amounts.min * price, amounts.typical * price, amounts.max * price)
