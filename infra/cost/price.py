"""The bill of an environment, what a change does to it, and the budgets that it breaks."""

from collections.abc import Iterator, Sequence

from infra.cost import fixed, functions, jobs, machines
from infra.cost.bill import Bill, Line, Money, grouped, ranged
from infra.cost.book import Assumptions, Book
from infra.cost.demand import Served, released, served
from infra.cost.setting import Setting
from infra.declarations.cloud import Budget
from infra.declarations.errors import DeclarationError, unknown
from infra.declarations.model import ServedModel, by_function
from infra.declarations.repository import Repository


def bill(repository: Repository, env: str, book: Book | None, assumed: Assumptions) -> Bill:
    """Raises DeclarationError for what the book has no price of. Clusters that are not made here cost nothing here."""
    if env not in repository.environments:
        raise DeclarationError([unknown(env, sorted(repository.environments), "environment")])
    environment = repository.environments[env]
    if environment.cluster != "eks" or environment.cloud is None:
        return Bill(env, (), (f"{env} makes nothing in AWS (cluster: {environment.cluster}): no price",))
    if book is None or environment.cloud.region != book.region:
        region = environment.cloud.region
        fix = f"add infra/prices/aws-{region}-<date>.yaml"
        raise DeclarationError([f"Pulumi.{env}.yaml: cloud.region: no price book for {region!r}; {fix}"])
    at = Setting(env, environment.cloud, book, assumed)
    machines.refuse_unknown(at)
    models, every = list(served(repository, environment)), list(released(repository, environment))
    lines = (
        *fixed.lines(at),
        *machines.lines(at, models),
        *functions.lines(at, [model for model in every if by_function(model, environment)]),
        *jobs.lines(at, repository),
        *_storage(at, repository, every),
    )
    return Bill(env, lines, tuple(_notes(at, repository, models)))


def _storage(at: Setting, repository: Repository, models: Sequence[ServedModel]) -> Iterator[Line]:
    """Artifacts of released models, and the data of jobs that run."""
    price = at.book.objects.gb_month
    for one in models:
        yield Line("data", "artifacts", one.owner, ranged(at.assumed.release_gb, price), one.name)
    for job in jobs.training(repository, at.env):
        yield Line("data", f"data of {job.name}", job.owner, ranged(at.assumed.data_gb, price), job.model)


def _notes(at: Setting, repository: Repository, models: Sequence[Served]) -> Iterator[str]:
    if at.book.remembered:
        which = f"the prices of {', '.join(at.book.remembered)}" if at.book.refreshed else "all prices"
        doubt = "written from memory, right to about 10 %: refresh them before money depends on it"
        yield f"{at.book.name}: {which} are {doubt}"
    yield from machines.notes(at, models)
    yield from jobs.notes(at, repository)


def difference(before: Bill, after: Bill) -> tuple[Line, ...]:
    """Lines whose money changed, with the change; one that came or went counts whole."""
    old, new = {line.key: line for line in before.lines}, {line.key: line for line in after.lines}
    changed = []
    for key in [*old, *(key for key in new if key not in old)]:
        line = new.get(key) or old[key]
        was, now = (lines[key].money if key in lines else Money() for lines in (old, new))
        if now != was:
            changed.append(Line(line.group, line.what, line.team, now - was, line.model))
    return tuple(changed)


def overruns(found: Bill, budget: Budget) -> Iterator[str]:
    """Budgets of the stack file that a usual month goes beyond."""
    fix = "declare less, or raise the budget in a reviewed commit"
    if found.total.typical > budget.monthly:
        most = max(found.lines, key=lambda line: line.money.typical)
        dearest = f"most of it {_named(most)} at ${most.money.typical:,.0f}"
        said = f"a usual month costs ${found.total.typical:,.0f}, the budget is ${budget.monthly:,}"
        yield f"cloud.budget.monthly: {said} ({dearest}); {fix}"
    teams = grouped(found.lines, lambda line: line.team)
    for team, most_of in sorted(budget.teams.items()):
        spent = teams.get(team, Money()).typical
        if spent > most_of:
            said = f"a usual month of team {team} costs ${spent:,.0f}, its budget is ${most_of:,}"
            yield f"cloud.budget.teams.{team}: {said}; {fix}"


def _named(line: Line) -> str:
    return f"{line.what} of {line.model}" if line.model else line.what
