"""Bills as people read them: whole dollars a month, the sum last, and what has to be known beside it."""

from collections.abc import Sequence

from infra.cost.bill import Bill, Line, Money, grouped, total
from mainline import console
from mainline.cost import Priced

_MONTHS = ("min", "typical", "max")
_COLUMNS = ("part", "what", "model", "team", *_MONTHS)


def show_priced(found: Sequence[Priced]) -> None:
    for index, one in enumerate(found):
        console.say(("\n" if index else "") + _title(one))
        if one.change is not None:
            _change(one.change, one.against)
        elif one.bill.lines:
            _lines(one.bill)
        for line in (*one.over, *one.bill.notes):
            console.say(f"! {line}")


def _title(one: Priced) -> str:
    if one.book is None:
        return one.bill.env
    return f"{one.bill.env}: US dollars a month, prices of {one.book.name}, budget {one.budget:,}"


def _lines(found: Bill) -> None:
    rows = [(line.group, line.what, line.model, line.team, *_amounts(line.money)) for line in found.lines]
    _table(_COLUMNS, [*rows, ("total", "", "", "", *_amounts(found.total))])
    for what, sums in (("model", _by_model(found)), ("team", _by_team(found))):
        if sums:
            console.say("")
            _table((what, *_MONTHS), [(name, *_amounts(money)) for name, money in sums.items()])


def _by_model(found: Bill) -> dict[str, Money]:
    return grouped(found.lines, lambda line: line.model)


def _by_team(found: Bill) -> dict[str, Money]:
    return grouped(found.lines, lambda line: line.team)


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Amounts, the last three columns, end at the same place."""
    widths = [max(len(row[index]) for row in (columns, *rows)) for index in range(len(columns))]
    first = len(columns) - len(_MONTHS)

    def placed(row: tuple[str, ...]) -> tuple[str, ...]:
        return (*row[:first], *(row[index].rjust(widths[index]) for index in range(first, len(columns))))

    console.table(placed(columns), map(placed, rows))


def _amounts(money: Money, sign: str = "") -> tuple[str, ...]:
    """Below ten dollars with a decimal, so that little does not look like nothing."""
    found = (money.min, money.typical, money.max)
    return tuple(f"{amount:{sign},.{int(abs(amount) < 9.95)}f}" for amount in found)


def _change(change: Sequence[Line], against: str) -> None:
    if not change:
        console.say(f"costs what it cost at {against}")
        return
    rows = [(line.group, line.what, line.model, line.team, *_amounts(line.money, "+")) for line in change]
    _table(_COLUMNS, [*rows, ("total", f"since {against}", "", "", *_amounts(total(change), "+"))])
