"""How a network is shared out: CIDR arithmetic, the same for every environment."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal

from infra.declarations.cloud import Network

Tier = Literal["private", "public", "database"]
_MOST_ZONES = 6
_SMALL = 4  # bits: a sixteenth of the last block for each public and database subnet


@dataclass(frozen=True, slots=True)
class Subnet:
    tier: Tier
    zone: str  # a letter
    cidr: str

    @property
    def name(self) -> str:
        return f"{self.tier}-{self.zone}"


def subnets(network: Network) -> list[Subnet]:
    """The VPC in equal blocks: one for the pods of each zone, and the last one for everything small."""
    blocks = list(IPv4Network(network.cidr).subnets(prefixlen_diff=_bits(len(network.zones) + 1)))
    small = list(blocks[-1].subnets(prefixlen_diff=_SMALL))
    return [*_private(network, blocks), *_small(network, small)]


def _private(network: Network, blocks: list[IPv4Network]) -> Iterator[Subnet]:
    for zone, block in zip(network.zones, blocks, strict=False):
        yield Subnet("private", zone, str(block))


def _small(network: Network, small: list[IPv4Network]) -> Iterator[Subnet]:
    for index, zone in enumerate(network.zones):
        yield Subnet("public", zone, str(small[index]))
        yield Subnet("database", zone, str(small[_MOST_ZONES + index]))


def _bits(parts: int) -> int:
    """How many bits number that many parts."""
    return (parts - 1).bit_length()


def nat_zones(network: Network) -> tuple[str, ...]:
    """The zones that have a NAT gateway of their own."""
    return network.zones if network.nat == "zone" else network.zones[:1]
