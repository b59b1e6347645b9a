"""All rules for the cloud, in the order in which they are shown."""

from collections.abc import Iterator, Sequence

from policies.cloud.buckets import PUBLIC, UNENCRYPTED, UNVERSIONED
from policies.cloud.databases import UNPROTECTED
from policies.cloud.doors import OPEN
from policies.cloud.identity import WILDCARDS
from policies.cloud.images import MOVING
from policies.cloud.resource import Facts, Found, Resource
from policies.cloud.tagging import UNTAGGED

RULES = (PUBLIC, UNENCRYPTED, UNVERSIONED, WILDCARDS, UNTAGGED, OPEN, UNPROTECTED, MOVING)
NAMES = tuple(rule.name for rule in RULES)


def found(resources: Sequence[Resource], facts: Facts) -> Iterator[tuple[str, Found]]:
    """(rule, what it found) of all rules."""
    for rule in RULES:
        yield from ((rule.name, one) for one in rule.judge(resources, facts))
