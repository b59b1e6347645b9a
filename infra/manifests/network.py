"""Who may talk to whom: nobody, unless a policy of a model or a job says so."""

from typing import Any
from urllib.parse import urlsplit

from infra.manifests.manifest import Manifest, manifest

_DNS: Manifest = {
    "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
    "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
}
_LOCAL = ("mainline", "file", "sqlite")


def denied(namespace: str) -> Manifest:
    """Without this, pods that no policy selects could talk to everybody."""
    return policy("default-deny", namespace, {}, policyTypes=["Egress", "Ingress"])


def policy(
    name: str, namespace: str, pods: dict[str, str], labels: dict[str, str] | None = None, **rules: Any
) -> Manifest:
    selector = {"matchLabels": pods} if pods else {}
    kind = "networking.k8s.io/v1/NetworkPolicy"
    return manifest(kind, name, namespace, labels=labels, spec={"podSelector": selector, **rules})


def from_namespaces(names: list[str], port: int) -> Manifest:
    selectors = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": n}}} for n in names]
    return {"from": selectors, "ports": [{"port": port, "protocol": "TCP"}]}


def to_addresses(*urls: str) -> list[Manifest]:
    """DNS, and the ports of these addresses wherever they are: object stores have no fixed networks."""
    ports = sorted({_port(url) for url in urls if urlsplit(url).scheme not in _LOCAL})
    open_ports: list[Manifest] = [{"port": port, "protocol": "TCP"} for port in ports]
    return [_DNS, {"ports": open_ports}] if open_ports else [_DNS]


def _port(url: str) -> int:
    """Without a port in the address it is 443, of which stores such as s3:// are served too; 80 for http."""
    parts = urlsplit(url)
    return parts.port or (80 if parts.scheme == "http" else 443)
