"""Security groups let nobody in from everywhere."""

from collections.abc import Iterator, Mapping
from ipaddress import ip_network

from policies.cloud.resource import Facts, Json, Resource, Rule, each, listed

_GROUPS = ("aws:ec2/securityGroup:SecurityGroup", "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
_RULE = "aws:ec2/securityGroupRule:SecurityGroupRule"
_INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
_WORLD = 8  # a network of /8 or larger is nobody's own


def _open(one: Resource, _: Facts) -> Iterator[str]:
    for rule in _rules(one):
        for network in _networks(rule):
            if _is_world(network):
                ports = f"{rule.get('fromPort', 'all')} to {rule.get('toPort', 'all')}"
                yield f"lets {network} in on ports {ports}; name the networks or security groups that call"


def _rules(one: Resource) -> list[Json]:
    if one.kind in _GROUPS:
        return [rule for rule in listed(one.props.get("ingress")) if isinstance(rule, Mapping)]
    return [one.props] if one.kind == _INGRESS or one.props.get("type") == "ingress" else []


def _networks(rule: Json) -> list[str]:
    found = [*listed(rule.get("cidrBlocks")), *listed(rule.get("ipv6CidrBlocks"))]
    found += [*listed(rule.get("cidrIpv4")), *listed(rule.get("cidrIpv6"))]
    return [network for network in found if isinstance(network, str)]


def _is_world(network: str) -> bool:
    try:
        parsed = ip_network(network, strict=False)
    except ValueError:
        return False  # AWS refuses it
    return parsed.prefixlen == 0 or (not parsed.is_private and parsed.prefixlen <= _WORLD)


OPEN = Rule(
    "open-security-groups", "No security group lets the world in.", each(_open, *_GROUPS, _RULE, _INGRESS)
)
