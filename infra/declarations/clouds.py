"""What the clouds of several environments may not share: an account, a network; and what they must agree on."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network
from itertools import combinations

from infra.declarations.cloud import Cloud
from infra.declarations.environment import Environment
from infra.declarations.errors import Location

_CLOUD = ("config", "mainline:cloud")
Problem = tuple[str, Location, str]  # environment, place in its stack file, message


def clouds_apart(environments: Mapping[str, Environment]) -> Iterator[Problem]:
    """Environments that would get into each other's way."""
    clouds = {
        name: environment.cloud
        for name, environment in sorted(environments.items())
        if environment.cloud and environment.cluster == "eks"
    }
    for (one, left), (other, right) in combinations(clouds.items(), 2):
        if left.account == right.account:
            text = f"{right.account!r} is the account of {one} too; a slip in one would reach the other"
            yield other, (*_CLOUD, "account"), f"{text}; give each its own"
        if IPv4Network(left.network.cidr).overlaps(IPv4Network(right.network.cidr)):
            text = f"{right.network.cidr!r} overlaps {left.network.cidr!r} of {one}, and could never be connected"
            yield other, (*_CLOUD, "network", "cidr"), f"{text}; take a network that is free"
    yield from _replication(clouds)


def _replication(clouds: Mapping[str, Cloud]) -> Iterator[Problem]:
    """Both ends of a replication have to say so, or the receiving one refuses every image."""
    for source, sending in clouds.items():
        for index, account in enumerate(sending.images.replicate_to):
            where = (*_CLOUD, "images", "replicate_to", index)
            if account == sending.account:
                yield source, where, f"{account!r} is this environment's own account; remove it"
            for target, receiving in clouds.items():
                if receiving.account == account and sending.account not in receiving.images.replicate_from:
                    text = f"{account!r} is {target}, which does not take images of {sending.account}"
                    yield source, where, f"{text}; add it to images.replicate_from of {target}"
