"""How many machines of each pool run, and who pays for them: those who ask for their cores and memory, or nobody."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from infra.cost.bill import Line, Money
from infra.cost.book import Assumptions, Book, Machine, Reserved
from infra.cost.demand import Pod, Served
from infra.cost.setting import Setting
from infra.declarations.cloud import NodePool
from infra.declarations.errors import DeclarationError, unknown

Month = Literal["min", "typical", "max"]
MONTHS: tuple[Month, ...] = ("min", "typical", "max")


@dataclass(frozen=True, slots=True)
class Rack:
    """The machines of one pool that run in one month: how many, what they hold together, dollars a month."""

    count: int
    room: Pod
    dollars: float


def refuse_unknown(at: Setting) -> None:
    """Raises DeclarationError with every instance type that the book does not have, and the field that names it."""
    fields = {f"pools.{name}": pool.instances for name, pool in at.cloud.pools.items()}
    missing = [
        f"Pulumi.{at.env}.yaml: cloud.{field}.instances: {_unknown(name, at.book)}"
        for field, names in {"system": at.cloud.system.instances, **fields}.items()
        for name in names
        if name not in at.book.instances.types
    ]
    if missing:
        raise DeclarationError(missing)


def machines(book: Book, instances: Sequence[str]) -> list[Machine]:
    """By price; of types that the book has."""
    return sorted((book.instances.types[name] for name in instances), key=lambda machine: machine.hour)


def _unknown(name: str, book: Book) -> str:
    said = unknown(name, sorted(book.instances.types), "instance type of the price book")
    return f"{said} ({book.name}); add its price with `mainline cost --refresh`"


def usable(machine: Machine, reserved: Reserved) -> Pod:
    """What workloads get of a machine."""
    left = 1 - reserved.share
    cores = max(machine.cpu * left - reserved.cpu, 0.0)
    return Pod(cores, max(machine.memory * left - reserved.memory, 0.0), machine.gpus)


def factor(pool: NodePool, assumed: Assumptions, month: Month) -> float:
    """Part of the on-demand price."""
    return float(getattr(assumed.spot, month)) if pool.capacity == "spot" else 1.0


def asked(models: Sequence[Served], assumed: Assumptions, month: Month) -> dict[str, Pod]:
    """What each model asks for: in the busiest month its most replicas, in the quietest its fewest."""
    load = getattr(assumed.load, month)
    return {one.model: one.pod.times(one.low + load * (one.high - one.low)) for one in models}


def together(pods: Sequence[Pod]) -> Pod:
    return Pod(sum(pod.cpu for pod in pods), sum(pod.memory for pod in pods), sum(pod.gpus for pod in pods))


def racks(at: Setting, month: Month, wanted: Pod) -> tuple[list[Rack], Pod]:
    """The pools in the order of their declaration, each filled up to its end, and what finds no room."""
    found, left = [], wanted
    for pool in at.cloud.pools.values():
        rack = _rack(at, pool, month, left)
        found.append(rack)
        if not pool.gpus:
            left = Pod(max(left.cpu - rack.room.cpu, 0.0), max(left.memory - rack.room.memory, 0.0))
    return found, left


def _rack(at: Setting, pool: NodePool, month: Month, wanted: Pod) -> Rack:
    """Karpenter takes the cheapest that there is; in a bad month that is the dearest of the list."""
    listed, assumed = machines(at.book, pool.instances), at.assumed
    machine = listed[-1] if month == "max" else listed[0]
    each = usable(machine, assumed.reserved)
    needed = 0 if pool.gpus else _needed(wanted, each)
    count = min(max(needed, pool.nodes.min), pool.nodes.max)
    hours, disk = machine.hour * factor(pool, assumed, month), assumed.node_disk * at.book.disk.gb_month
    return Rack(count, each.times(count), count * (hours * assumed.hours + disk))


def _needed(wanted: Pod, each: Pod) -> int:
    if not each.cpu or not each.memory:
        return 0  # daemons alone fill it
    return math.ceil(max(wanted.cpu / each.cpu, wanted.memory / each.memory) - 1e-9)


def lines(at: Setting, models: Sequence[Served]) -> Iterator[Line]:
    """One line a model, and one for what no model asked for."""
    shares = {month: _shares(at, models, month) for month in MONTHS}
    for one in models:
        money = Money(*(shares[month][one.model] for month in MONTHS))
        yield Line("machines", "servers", one.team, money, one.model)
    idle = Money(*(shares[month][""] for month in MONTHS))
    if not idle.free:
        yield Line("machines", "idle machines of the pools", at.cloud.tags.team, idle)


def _shares(at: Setting, models: Sequence[Served], month: Month) -> dict[str, float]:
    """Dollars of each model, and of nobody under the empty name: by the larger of its parts of cores and memory."""
    wanted = asked(models, at.assumed, month)
    found, _ = racks(at, month, together(list(wanted.values())))
    dollars, room = sum(rack.dollars for rack in found), together([rack.room for rack in found])
    parts = {name: _part(pod, room) for name, pod in wanted.items()}
    scale = max(1.0, sum(parts.values()))
    shares = {name: dollars * part / scale for name, part in parts.items()}
    return shares | {"": max(dollars - sum(shares.values()), 0.0)}


def _part(pod: Pod, room: Pod) -> float:
    return max(pod.cpu / room.cpu, pod.memory / room.memory) if room.cpu and room.memory else 0.0


def notes(at: Setting, models: Sequence[Served]) -> Iterator[str]:
    """What the pools cannot hold: together, or of one pod."""
    _, left = racks(at, "max", together(list(asked(models, at.assumed, "max").values())))
    if left.cpu or left.memory:
        lack = f"{left.cpu:.1f} cores and {left.memory:.1f} GiB"
        yield f"at its most, {at.env} lacks {lack}: more pods wait than the pools may hold; raise nodes.max of a pool"
    for one in models:
        if not fits(at, one.pod):
            asks = f"{one.pod.cpu:g} cores and {one.pod.memory:g} GiB"
            yield f"{one.model} asks for {asks}, which no machine of {at.env}'s pools has; add a larger instance type"


def fits(at: Setting, pod: Pod) -> bool:
    """Whether any machine of the pools has room for it."""
    every = [one for pool in at.cloud.pools.values() for one in machines(at.book, pool.instances)]
    return any(holds(usable(one, at.assumed.reserved), pod) for one in every)


def holds(room: Pod, pod: Pod) -> bool:
    return pod.cpu <= room.cpu and pod.memory <= room.memory and pod.gpus <= room.gpus
