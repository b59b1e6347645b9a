"""AWS's own price list files (CSV, one service in one region) into prices of a book.

Five lines of metadata, then the names of the columns, then one row a price
(docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/reading-service-price-list-file-for-services.html).
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Any

from infra.cost.book import Book
from infra.declarations.errors import DeclarationError

Row = Mapping[str, str]

_METADATA = 5
_NEEDED = {"termtype", "priceperunit", "currency", "usagetype", "regioncode"}
# The end of a usage type, behind the short name of its region -> the price in the book.
_USAGE = {
    "NatGateway-Hours": ("nat", "hour"),
    "NatGateway-Bytes": ("nat", "gb"),
    "EBS:VolumeUsage.gp3": ("disk", "gb_month"),
    "AmazonEKS-Hours:perCluster": ("eks", "cluster_hour"),
}
_MACHINE = {
    "operatingsystem": "Linux",
    "tenancy": "Shared",
    "capacitystatus": "Used",
    "preinstalledsw": "NA",
    "operation": "RunInstances",
}
_DATABASE = {"databaseengine": "PostgreSQL", "deploymentoption": "Single-AZ"}


@dataclass(slots=True)
class Offers:
    """What one file says: its day and region, and the prices that a book can use."""

    day: date
    region: str = ""
    machines: dict[str, dict[str, Any]] = field(default_factory=dict)
    databases: dict[str, float] = field(default_factory=dict)
    others: dict[tuple[str, str], float] = field(default_factory=dict)


def read(file: str, lines: Iterable[str]) -> Offers:
    """Reads a file of gigabytes line by line. Raises DeclarationError if it is no price list file."""
    try:
        found = _read(csv.reader(iter(lines)))
    except (csv.Error, KeyError, ValueError) as error:
        fix = "download index.csv of one service and one region (docs/cost.md)"
        raise DeclarationError([f"{file}: is no price list file of AWS ({error}); {fix}"]) from None
    if not found.region:
        raise DeclarationError([f"{file}: has no price on demand in US dollars; take the file of one region"])
    return found


def _read(rows: Iterator[list[str]]) -> Offers:
    """Raises ValueError and KeyError for what is another file."""
    head = {row[0]: row[1] for row in islice(rows, _METADATA) if len(row) > 1}
    columns = [_plain(name) for name in next(rows, [])]
    missing = sorted(_NEEDED - set(columns))
    if "Publication Date" not in head or missing:
        raise ValueError(f"without {', '.join(missing) or 'Publication Date'}")
    found = Offers(date.fromisoformat(head["Publication Date"][:10]))
    for row in rows:
        _take(found, dict(zip(columns, row, strict=False)))
    return found


def _plain(name: str) -> str:
    """`Instance Type`, `instanceType` and `Pre Installed S/W` in one spelling."""
    return "".join(filter(str.isalnum, name)).lower()


def _take(found: Offers, row: Row) -> None:
    price = float(row.get("priceperunit") or 0)
    if row.get("termtype") != "OnDemand" or row.get("currency") != "USD" or not price:
        return
    found.region = row.get("regioncode", "")
    if _is(row, _MACHINE):
        found.machines[row["instancetype"]] = _machine(row, price)
    elif _is(row, _DATABASE) and row.get("instancetype"):
        found.databases[row["instancetype"]] = price
    for where in _usage(row):
        found.others.setdefault(where, price)


def _is(row: Row, wanted: Mapping[str, str]) -> bool:
    return all(row.get(name) == value for name, value in wanted.items())


def _usage(row: Row) -> Iterator[tuple[str, str]]:
    """us-east-1 has no short name in front."""
    usage = row.get("usagetype", "")
    for end, where in _USAGE.items():
        if usage == end or usage.endswith(f"-{end}"):
            yield where


def _machine(row: Row, price: float) -> dict[str, Any]:
    memory = float(row["memory"].removesuffix(" GiB").replace(",", ""))
    machine = {"hour": price, "cpu": float(row["vcpu"]), "memory": memory}
    gpus = row.get("gpu", "")
    return machine | ({"gpus": int(gpus)} if gpus.isdecimal() else {})


def refreshed(book: Book, offers: Offers, wanted: Iterable[str]) -> dict[str, Any]:
    """The fields of a new book: the prices of the old one's types and of those wanted, as the file says them.

    Raises DeclarationError if the file is of another region. A type that the file does not have keeps its price.
    """
    if offers.region != book.region:
        raise DeclarationError(
            [f"the file is of {offers.region}, the book of {book.region}; take the same region"]
        )
    fields = book.model_dump(exclude_defaults=True)
    types, classes = fields["instances"]["types"], fields["databases"]["classes"]
    names = {*types, *classes, *wanted}
    types |= {name: machine for name, machine in offers.machines.items() if name in names}
    classes |= {name: price for name, price in offers.databases.items() if name in names}
    for (part, price), value in offers.others.items():
        fields[part][price] = value
    fields["date"] = offers.day.isoformat()
    fields["refreshed"] = [name for name in type(book).model_fields if name in _parts(book, offers)]
    return fields


def _parts(book: Book, offers: Offers) -> set[str]:
    """Parts of which every price was read, now or before."""
    parts = set(book.refreshed)
    parts |= {"instances"} if set(book.instances.types) <= set(offers.machines) else set()
    for part in {name for name, _ in offers.others}:
        prices = set(type(getattr(book, part)).model_fields) - {"source"}
        parts |= {part} if prices <= {price for name, price in offers.others if name == part} else set()
    return parts
