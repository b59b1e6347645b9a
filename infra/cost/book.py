"""The price book of one region on one day, and what is assumed where nothing is declared."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from infra.declarations.cloud import DatabaseClass, Instance, Region
from infra.declarations.declaration import Declaration, Many, parse
from infra.declarations.document import read_document
from infra.declarations.errors import MisfitError
from infra.declarations.scalars import Url
from infra.declarations.waiver import Day


def _number(value: object) -> object:
    """Whole numbers are numbers too."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


Dollars = Annotated[float, BeforeValidator(_number), Field(ge=0, allow_inf_nan=False)]
Amount = Annotated[float, BeforeValidator(_number), Field(ge=0, allow_inf_nan=False)]


class Sourced(Declaration):
    source: Url


class Machine(Declaration):
    """Dollars an hour; `memory` in GiB."""

    hour: Dollars
    cpu: Annotated[Amount, Field(gt=0)]
    memory: Annotated[Amount, Field(gt=0)]
    gpus: Annotated[int, Field(ge=0)] = 0


class Machines(Sourced):
    types: dict[Instance, Machine]


class Databases(Sourced):
    """`classes`: dollars an hour in one zone."""

    classes: dict[DatabaseClass, Dollars]
    gb_month: Dollars
    backup_gb_month: Dollars


class Eks(Sourced):
    cluster_hour: Dollars


class Metered(Sourced):
    """So much an hour, and so much a GB that passes."""

    hour: Dollars
    gb: Dollars


class Hourly(Sourced):
    hour: Dollars


class Balancer(Sourced):
    hour: Dollars
    unit_hour: Dollars


class Monthly(Sourced):
    month: Dollars


class Stored(Sourced):
    gb_month: Dollars


class Objects(Stored):
    million_reads: Dollars
    million_writes: Dollars


class Transfer(Sourced):
    """`zone_gb`: both directions."""

    out_gb: Dollars
    zone_gb: Dollars


class Logs(Stored):
    gb: Dollars


class Functions(Sourced):
    gb_second: Dollars
    provisioned_gb_second: Dollars
    million_calls: Dollars
    million_api_calls: Dollars


class Watch(Sourced):
    million_events: Dollars
    config_item: Dollars


class Book(Declaration):
    """`refreshed`: parts that were read from AWS's price list files; all others were written down from memory."""

    date: Day
    region: Region
    refreshed: Many[str] = ()
    instances: Machines
    databases: Databases
    eks: Eks
    nat: Metered
    endpoint: Metered
    address: Hourly
    balancer: Balancer
    disk: Stored
    objects: Objects
    images: Stored
    transfer: Transfer
    keys: Monthly
    secrets: Monthly
    logs: Logs
    functions: Functions
    watch: Watch
    backup: Stored

    @property
    def name(self) -> str:
        return f"aws-{self.region}-{self.date}"

    @property
    def remembered(self) -> list[str]:
        """Parts that nobody has looked up."""
        parts = (name for name in type(self).model_fields if name not in ("date", "region", "refreshed"))
        return [name for name in parts if name not in self.refreshed]


class Range(Declaration):
    """In the quietest, the usual and the busiest month."""

    min: Amount
    typical: Amount
    max: Amount

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.min <= self.typical <= self.max:
            raise MisfitError(
                ("typical",), f"{self.typical} is not between min {self.min} and max {self.max}; mend one"
            )
        return self


class Reserved(Declaration):
    """Of each machine, not for workloads: a share of all, and cores and GiB of its daemons."""

    share: Annotated[Amount, Field(lt=1)]
    cpu: Amount
    memory: Amount


class Assumptions(Declaration):
    hours: Annotated[Amount, Field(gt=0, le=744)]
    load: Range
    spot: Range
    reserved: Reserved
    node_disk: Amount
    runs: Range
    run_part: Range
    release_gb: Range
    data_gb: Range
    image_gb: Range
    log_gb: Range
    nat_gb: Range
    endpoint_gb: Range
    out_gb: Range
    zone_gb: Range
    balancer_units: Range
    million_requests: Range
    call_seconds: Range
    million_events: Range
    config_items: Range
    secrets: Amount


def read_book(path: str, text: str) -> Book:
    """Raises DeclarationError with every problem of the text."""
    document = read_document(path, text)
    return parse(Book, document.value, document)


def read_assumptions(path: str, text: str) -> Assumptions:
    """Raises DeclarationError with every problem of the text."""
    document = read_document(path, text)
    return parse(Assumptions, document.value, document)
