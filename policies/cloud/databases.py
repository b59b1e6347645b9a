"""Databases are encrypted and private; where data counts, they cannot be deleted and survive a zone."""

from collections.abc import Iterator

from policies.cloud.resource import Facts, Resource, Rule, each, holds

_INSTANCE = "aws:rds/instance:Instance"
_CLUSTER = "aws:rds/cluster:Cluster"
_DAYS = 7


def _unprotected(one: Resource, facts: Facts) -> Iterator[str]:
    if not holds(one.props.get("storageEncrypted"), True):
        yield "is not encrypted; set storage_encrypted"
    if not holds(one.props.get("publiclyAccessible"), None, False):
        yield "has a public address; leave publicly_accessible out"
    if "password" in one.props or "masterPassword" in one.props:
        yield "has its password in the state; set manage_master_user_password"
    if facts.protect:
        yield from _exposed(one)


def _exposed(one: Resource) -> Iterator[str]:
    if not holds(one.props.get("deletionProtection"), True):
        yield "can be deleted by one call; set deletion_protection"
    if not holds(one.props.get("skipFinalSnapshot"), None, False):
        yield "leaves no snapshot when it is deleted; leave skip_final_snapshot out"
    days = one.props.get("backupRetentionPeriod") or 0
    if isinstance(days, int | float) and days < _DAYS:
        yield f"keeps backups for {days:g} days; set backup_retention_period to {_DAYS} or more"
    if one.kind == _INSTANCE and not holds(one.props.get("multiAz"), True):
        yield "ends with its zone; set multi_az"


UNPROTECTED = Rule(
    "unprotected-databases",
    "Databases are encrypted and private, and where data counts protected.",
    each(_unprotected, _INSTANCE, _CLUSTER),
)
