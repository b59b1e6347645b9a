"""AWS's price list files: what of their rows becomes a price, and what is refused."""

import re

import pytest
import yaml

from infra.cost.book import read_book
from infra.cost.offers import read, refreshed
from infra.declarations.errors import DeclarationError
from tests.infra.prices import BOOK, book

HEAD = """\
"FormatVersion","v1.0"
"Disclaimer","a, b"
"Publication Date","2026-03-04T05:06:07Z"
"Version","1"
"OfferCode","AmazonEC2"
"""
MACHINE = {
    "SKU": "2223B6PCG6QAUYY6",
    "TermType": "OnDemand",
    "Unit": "Hrs",
    "PricePerUnit": "0.1234000000",
    "Currency": "USD",
    "Region Code": "eu-central-1",
    "usageType": "EUC1-BoxUsage:m7i.large",
    "operation": "RunInstances",
    "Instance Type": "m7i.large",
    "vCPU": "2",
    "Memory": "8 GiB",
    "GPU": "",
    "Operating System": "Linux",
    "Tenancy": "Shared",
    "CapacityStatus": "Used",
    "Pre Installed S/W": "NA",
    "Database Engine": "",
    "Deployment Option": "",
}
COLUMNS = tuple(MACHINE)
DATABASE = {
    **MACHINE,
    "Instance Type": "db.t4g.medium",
    "usageType": "EUC1-InstanceUsage:db.t4g.medium",
    "operation": "CreateDBInstance:0014",
    "Operating System": "",
    "Database Engine": "PostgreSQL",
    "Deployment Option": "Single-AZ",
}
GATEWAY = {**MACHINE, "Instance Type": "", "Operating System": "", "operation": "NatGateway"}


def offer_file(*rows):
    lines = [",".join(f'"{name}"' for name in COLUMNS)]
    lines += [",".join(f'"{row.get(name, "")}"' for name in COLUMNS) for row in rows]
    return [*HEAD.splitlines(keepends=True), *(f"{line}\n" for line in lines)]


def _read(*rows):
    return read("index.csv", offer_file(*rows))


def test_a_machine_has_its_price_cores_and_memory():
    found = _read(MACHINE, {**MACHINE, "Instance Type": "g5.xlarge", "GPU": "1", "Memory": "1,952 GiB"})
    assert found.machines["m7i.large"] == {"hour": 0.1234, "cpu": 2.0, "memory": 8.0}
    assert found.machines["g5.xlarge"]["gpus"] == 1
    assert found.machines["g5.xlarge"]["memory"] == 1952.0
    assert (found.region, found.day.isoformat()) == ("eu-central-1", "2026-03-04")


@pytest.mark.parametrize(
    ("column", "other"),
    [
        ("TermType", "Reserved"),
        ("Currency", "CNY"),
        ("PricePerUnit", "0.0000000000"),
        ("Operating System", "Windows"),
        ("Tenancy", "Dedicated"),
        ("CapacityStatus", "UnusedCapacityReservation"),
        ("Pre Installed S/W", "SQL Std"),
        ("operation", "RunInstances:0010"),
    ],
)
def test_other_terms_systems_and_tenancies_are_left_out(column, other):
    assert _read(GATEWAY, {**MACHINE, column: other}).machines == {}


def test_databases_are_those_of_one_zone_and_of_postgresql():
    assert _read(DATABASE).databases == {"db.t4g.medium": 0.1234}
    assert _read(GATEWAY, {**DATABASE, "Deployment Option": "Multi-AZ"}).databases == {}
    assert _read(GATEWAY, {**DATABASE, "Database Engine": "MySQL"}).databases == {}


@pytest.mark.parametrize("usage", ["EUC1-NatGateway-Hours", "NatGateway-Hours"])
def test_a_usage_type_is_known_with_and_without_its_region(usage):
    assert _read({**GATEWAY, "usageType": usage}).others == {("nat", "hour"): 0.1234}


def test_a_new_book_has_the_prices_of_the_file_and_keeps_the_others():
    hours, passed = ({**GATEWAY, "usageType": f"EUC1-NatGateway-{what}"} for what in ("Hours", "Bytes"))
    others = [{**MACHINE, "Instance Type": name} for name in ("c7i.large", "x9.huge")]
    found = _read(MACHINE, *others, DATABASE, hours, passed)
    fields = refreshed(book(), found, {"c7i.large"})
    again = read_book("a.yaml", yaml.safe_dump(fields, sort_keys=False))
    assert set(again.instances.types) == {"m7i.large", "m7i.xlarge", "g5.xlarge", "c7i.large"}
    assert again.instances.types["m7i.large"].hour == 0.1234
    assert again.instances.types["m7i.xlarge"].hour == 0.2
    assert again.databases.classes == {"db.t4g.medium": 0.1234}
    assert again.refreshed == ("nat",)
    assert again.name == "aws-eu-central-1-2026-03-04"


def test_instances_count_as_refreshed_when_all_of_them_were_read():
    every = [{**MACHINE, "Instance Type": name} for name in book().instances.types]
    assert refreshed(book(), _read(*every), ())["refreshed"] == ["instances"]


def test_a_file_of_another_region_is_refused():
    with pytest.raises(DeclarationError, match="the file is of us-east-1, the book of eu-central-1"):
        refreshed(book(), _read({**MACHINE, "Region Code": "us-east-1"}), ())


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "index.csv: is no price list file of AWS (without currency, priceperunit"),
        (BOOK.splitlines(), "index.csv: is no price list file of AWS"),
        (["x" * 200_000], "is no price list file of AWS (field larger than field limit (131072)); download"),
        (
            [line.replace("2026-03", "March") for line in offer_file(MACHINE)],
            "(Invalid isoformat string: 'March-04T0')",
        ),
        (offer_file({**MACHINE, "PricePerUnit": "a"}), "(could not convert string to float: 'a')"),
        (HEAD.splitlines(), "index.csv: is no price list file of AWS"),
        (offer_file(), "index.csv: has no price on demand in US dollars; take the file of one region"),
    ],
)
def test_what_is_no_price_list_file_is_refused(lines, reason):
    with pytest.raises(DeclarationError, match=re.escape(reason)):
        read("index.csv", lines)
