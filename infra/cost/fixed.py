"""What an environment costs before a model runs: cluster, network, database, keys, logs, and who watches."""

from collections.abc import Iterator

from infra.cost.bill import Line, Money, ranged, steady
from infra.cost.machines import machines
from infra.cost.setting import Setting
from infra.declarations.errors import DeclarationError, unknown

_KEYS = 3  # of the cluster, of data, of the trail


def lines(at: Setting) -> Iterator[Line]:
    """All on the team of the environment's own tags."""
    book, assumed = at.book, at.assumed
    secrets = _KEYS * book.keys.month + assumed.secrets * book.secrets.month
    parts = {
        ("cluster", "control plane"): steady(book.eks.cluster_hour * assumed.hours),
        ("cluster", "system machines"): _system(at),
        ("network", f"NAT gateways ({_gateways(at)})"): _nat(at),
        ("network", "endpoints of AWS services"): _endpoints(at),
        ("network", "load balancer"): _balancer(at),
        ("network", "data transfer"): _transfer(at),
        ("data", "database"): _database(at),
        ("data", "images"): ranged(assumed.image_gb, book.images.gb_month),
        ("data", "backups"): _backups(at),
        ("security", "keys and secrets"): steady(secrets),
        ("security", "logs"): ranged(assumed.log_gb, book.logs.gb + book.logs.gb_month),
        ("security", "audit"): _audit(at),
    }
    for (group, what), money in parts.items():
        if not money.free:
            yield Line(group, what, at.cloud.tags.team, money)


def _system(at: Setting) -> Money:
    """The group stays at its fewest machines unless something grows."""
    system, hours = at.cloud.system, at.assumed.hours
    listed, spot = machines(at.book, system.instances), at.assumed.spot
    low, usual, high = (spot.min, spot.typical, spot.max) if system.capacity == "spot" else (1.0, 1.0, 1.0)
    least, most = listed[0].hour * hours, listed[-1].hour * hours
    disk, fewest = system.disk * at.book.disk.gb_month, system.nodes.min
    first, second = fewest * (least * low + disk), fewest * (least * usual + disk)
    return Money(first, second, system.nodes.max * (most * high + disk))


def _gateways(at: Setting) -> int:
    network = at.cloud.network
    return len(network.zones) if network.nat == "zone" else 1


def _nat(at: Setting) -> Money:
    hours = _gateways(at) * (at.book.nat.hour + at.book.address.hour) * at.assumed.hours
    return steady(hours) + ranged(at.assumed.nat_gb, at.book.nat.gb)


def _endpoints(at: Setting) -> Money:
    """One network interface for each service in each zone; S3's gateway costs nothing."""
    doors = len(at.cloud.network.endpoints) * len(at.cloud.network.zones)
    passed = ranged(at.assumed.endpoint_gb, at.book.endpoint.gb) if doors else Money()
    return steady(doors * at.book.endpoint.hour * at.assumed.hours) + passed


def _balancer(at: Setting) -> Money:
    prices, hours = at.book.balancer, at.assumed.hours
    zones = len(at.cloud.network.zones) * at.book.address.hour
    return steady((prices.hour + zones) * hours) + ranged(at.assumed.balancer_units, prices.unit_hour * hours)


def _transfer(at: Setting) -> Money:
    prices = at.book.transfer
    return ranged(at.assumed.out_gb, prices.out_gb) + ranged(at.assumed.zone_gb, prices.zone_gb)


def _database(at: Setting) -> Money:
    database, book = at.cloud.database, at.book
    if database is None:
        return Money()
    prices = book.databases.classes
    if database.instance not in prices:
        said = unknown(database.instance, sorted(prices), "database class of the price book")
        fix = "add its price with `mainline cost --refresh`"
        raise DeclarationError(
            [f"Pulumi.{at.env}.yaml: cloud.database.instance: {said} ({book.name}); {fix}"]
        )
    copies, hours = 2 if database.multi_az else 1, prices[database.instance] * at.assumed.hours
    small, large = (size * book.databases.gb_month for size in (database.storage, database.storage_max))
    return Money(hours + small, hours + small, hours + large) * copies


def _backups(at: Setting) -> Money:
    """RDS keeps as much as the disk for nothing; AWS Backup's copy of it is paid."""
    database, price = at.cloud.database, at.book.backup.gb_month
    if database is None:
        return Money()
    return Money(database.storage * price, database.storage * price, database.storage_max * price)


def _audit(at: Setting) -> Money:
    """The first trail costs nothing but its bucket."""
    audit, prices = at.cloud.audit, at.book.watch
    events = ranged(at.assumed.million_events, prices.million_events) if audit.guardduty else Money()
    return events + (ranged(at.assumed.config_items, prices.config_item) if audit.config else Money())
