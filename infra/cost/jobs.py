"""What training costs: hours of a part of the cheapest machine that a job fits on."""

from collections.abc import Iterator

from infra.cost.bill import Line, Money
from infra.cost.book import Assumptions
from infra.cost.demand import Pod, run
from infra.cost.machines import MONTHS, Month, factor, holds, machines, usable
from infra.cost.setting import Setting
from infra.declarations.cloud import NodePool
from infra.declarations.job import TrainingJob
from infra.declarations.repository import Repository


def training(repository: Repository, env: str) -> list[TrainingJob]:
    """The jobs that run there: none where they are suspended."""
    trains = repository.environments[env].trains
    return [job for _, job in sorted(repository.jobs.items())] if trains else []


def lines(at: Setting, repository: Repository) -> Iterator[Line]:
    for job in training(repository, at.env):
        pod = run(job)
        money = Money(*(_hours(job, at.assumed, month) * _hour(at, pod, month) for month in MONTHS))
        money *= job.nodes
        yield Line("training", f"runs of {job.name}", job.owner, money, job.model)


def _hours(job: TrainingJob, assumed: Assumptions, month: Month) -> float:
    runs, part = getattr(assumed.runs, month), getattr(assumed.run_part, month)
    return float(runs * part * job.deadline / 3600)


def _hour(at: Setting, pod: Pod, month: Month) -> float:
    """Dollars an hour of the part of a machine that a run takes; 0 where it fits nowhere, and so never runs."""
    pools = at.cloud.pools.values()
    return min((price for pool in pools for price in _prices(at, pool, pod, month)), default=0.0)


def _prices(at: Setting, pool: NodePool, pod: Pod, month: Month) -> Iterator[float]:
    """Machines with GPUs are for who asks for some."""
    listed = machines(at.book, pool.instances) if pool.gpus == bool(pod.gpus) else []
    for machine in listed:
        room = usable(machine, at.assumed.reserved)
        if holds(room, pod):
            parts = (pod.cpu / room.cpu, pod.memory / room.memory, pod.gpus / room.gpus if pod.gpus else 0)
            yield machine.hour * factor(pool, at.assumed, month) * max(parts)


def notes(at: Setting, repository: Repository) -> Iterator[str]:
    for job in training(repository, at.env):
        pod = run(job)
        if not _hour(at, pod, "max"):
            asks = f"{pod.cpu:g} cores, {pod.memory:g} GiB and {pod.gpus} GPUs"
            fix = "add a larger instance type"
            yield f"job {job.name} asks for {asks}, which no machine of {at.env}'s pools has; {fix}"
