"""What models behind Lambda cost: calls, the GB-seconds that they take, instances kept started, and the HTTP API."""

from collections.abc import Iterator, Sequence

from infra.cost.bill import Line, Money, ranged, steady
from infra.cost.machines import MONTHS, Month
from infra.cost.setting import Setting
from infra.declarations.model import ServedModel

_GB = 1024  # MiB: Lambda's GB
_MILLION = 1e6
_HOUR = 3600


def lines(at: Setting, models: Sequence[ServedModel]) -> Iterator[Line]:
    """`models`: those that functions serve."""
    for model in models:
        parts = {
            "calls of its function": Money(*(_calls(at, model, month) for month in MONTHS)),
            "instances kept started": _kept(at, model),
            "HTTP API": ranged(at.assumed.million_requests, at.book.functions.million_api_calls),
        }
        for what, money in parts.items():
            if not money.free:
                yield Line("functions", what, model.owner, money, model.name)


def _calls(at: Setting, model: ServedModel, month: Month) -> float:
    """Dollars of the calls that are answered, and of the memory for as long as each takes."""
    prices, seconds = at.book.functions, getattr(at.assumed.call_seconds, month)
    calls = _answered(at, model, month)
    of_memory = calls * seconds * model.function.memory / _GB * prices.gb_second
    return float(calls / _MILLION * prices.million_calls + of_memory)


def _answered(at: Setting, model: ServedModel, month: Month) -> float:
    """No more than all instances of the ceiling can answer one after the other; Lambda refuses the others."""
    calls, seconds = (getattr(what, month) for what in (at.assumed.million_requests, at.assumed.call_seconds))
    room = model.function.ceiling * at.assumed.hours * _HOUR
    return float(min(calls * _MILLION, room / seconds) if seconds else calls * _MILLION)


def _kept(at: Setting, model: ServedModel) -> Money:
    """Paid whether calls come or not."""
    memory = model.function.provisioned * model.function.memory / _GB
    return steady(memory * at.assumed.hours * _HOUR * at.book.functions.provisioned_gb_second)
