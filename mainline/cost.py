"""mainline cost: the declared state priced by the newest price book, and what a change does to the bill."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.cost import offers
from infra.cost.bill import Bill, Line
from infra.cost.book import Assumptions, Book, read_assumptions, read_book
from infra.cost.price import bill, difference, overruns
from infra.declarations.cloud import Cloud
from infra.declarations.errors import DeclarationError
from infra.declarations.repository import Repository, load
from infra.declarations.tree import is_declaration, read_tree
from mainline.errors import Refusal
from mainline.git import Git
from mainline.places import Places

PRICES = "infra/prices"
_HEAD = """\
# AWS list prices, US dollars without tax or discounts; written by `mainline cost --refresh` (docs/cost.md).
# The parts under `refreshed` were read from AWS's price list files, all others were written down from memory.
"""


@dataclass(frozen=True, slots=True)
class Priced:
    """One environment: its bill, what is beyond its budget, and what changed since a revision (None: not asked)."""

    bill: Bill
    book: Book | None
    budget: int | None
    over: tuple[str, ...]
    against: str = ""
    change: tuple[Line, ...] | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """The newest book of each region."""

    books: dict[str, Book]
    assumed: Assumptions


def cost(places: Places, envs: Sequence[str], against: str | None = None) -> list[Priced]:
    """Environments by name (all by default); with `against` also the change since that revision."""
    repository, prices = load(read_tree(places.root)), read_prices(places.root)
    known = sorted(repository.environments)
    unknown = [env for env in envs if env not in known]
    if unknown:
        raise Refusal(f"unknown environment {unknown[0]!r}; there are {', '.join(known)}")
    found = [priced(repository, env, prices) for env in envs or known]
    if against is None:
        return found
    before = _at(places, against)
    return [_against(one, before, against, prices) for one in found]


def read_prices(root: Path) -> Prices:
    books: dict[str, Book] = {}
    for file in sorted((root / PRICES).glob("aws-*.yaml")):
        book = read_book(file.relative_to(root).as_posix(), file.read_text(errors="replace"))
        if book.region not in books or book.date >= books[book.region].date:
            books[book.region] = book
    assumptions = root / PRICES / "assumptions.yaml"
    if not assumptions.is_file():
        raise Refusal(f"{PRICES}/assumptions.yaml is missing; git checkout {PRICES}")
    return Prices(
        books, read_assumptions(f"{PRICES}/assumptions.yaml", assumptions.read_text(errors="replace"))
    )


def priced(repository: Repository, env: str, prices: Prices) -> Priced:
    """Raises DeclarationError for what no book has a price of."""
    cloud = _cloud(repository, env)
    book = prices.books.get(cloud.region) if cloud else None
    found = bill(repository, env, book, prices.assumed)
    if cloud is None:
        return Priced(found, None, None, ())
    return Priced(found, book, cloud.budget.monthly, tuple(overruns(found, cloud.budget)))


def _cloud(repository: Repository, env: str) -> Cloud | None:
    """What the environment makes in AWS."""
    environment = repository.environments[env]
    return environment.cloud if environment.cluster == "eks" else None


def _at(places: Places, revision: str) -> Repository:
    git = Git(places.root)
    commit = git.resolve(revision)
    if commit is None:
        raise Refusal(f"--against {revision}: is no commit here; name a branch, a tag or a commit")
    try:
        return load(git.files(commit, is_declaration))
    except DeclarationError as error:
        first = error.problems[0]
        raise Refusal(f"--against {revision}: its declarations are not understood now: {first}") from error


def _against(one: Priced, before: Repository, revision: str, prices: Prices) -> Priced:
    """An environment that was not there yet cost nothing."""
    env = one.bill.env
    old = priced(before, env, prices).bill if env in before.environments else Bill(env, ())
    return Priced(one.bill, one.book, one.budget, one.over, revision, difference(old, one.bill))


def refresh(places: Places, file: Path) -> Path:
    """A new book from one of AWS's price list files: the newest of its region, with the prices of the file."""
    try:
        with file.open(encoding="utf-8", errors="replace", newline="") as lines:
            read = offers.read(str(file), lines)
    except OSError as error:
        raise Refusal(f"--refresh {file}: {error.strerror}; name a file") from error
    book = read_prices(places.root).books.get(read.region)
    if book is None:
        fix = f"copy a book to {PRICES}/aws-{read.region}-{read.day}.yaml and mend its prices first"
        raise Refusal(f"--refresh {file}: there is no book of {read.region} to begin with; {fix}")
    fields = offers.refreshed(book, read, _declared(places))
    target = places.root / PRICES / f"aws-{read.region}-{read.day}.yaml"
    text = _HEAD + yaml.safe_dump(fields, sort_keys=False, default_flow_style=None, width=110)
    read_book(target.name, text)
    target.write_text(text)
    return target


def _declared(places: Places) -> set[str]:
    """The instance types and database classes of all stack files."""
    found: set[str] = set()
    repository = load(read_tree(places.root))
    for cloud in filter(None, (_cloud(repository, env) for env in repository.environments)):
        found |= {
            *cloud.system.instances,
            *(name for pool in cloud.pools.values() for name in pool.instances),
        }
        found |= {cloud.database.instance} if cloud.database else set()
    return found


def as_dict(one: Priced) -> dict[str, Any]:
    """For machines: dollars a month, unrounded."""
    return {
        "env": one.bill.env,
        "book": one.book
        and {"region": one.book.region, "date": str(one.book.date), "remembered": one.book.remembered},
        "budget": one.budget,
        "over": list(one.over),
        "notes": list(one.bill.notes),
        "total": _money(one.bill.total),
        "lines": [_line(line) for line in one.bill.lines],
        "against": one.against or None,
        "change": None if one.change is None else [_line(line) for line in one.change],
    }


def _money(money: Any) -> dict[str, float]:
    return {"min": money.min, "typical": money.typical, "max": money.max}


def _line(line: Line) -> dict[str, Any]:
    return {
        "group": line.group,
        "what": line.what,
        "model": line.model or None,
        "team": line.team,
        **_money(line.money),
    }
