"""Who may talk to whom: nobody, unless a policy of a model or a job says so."""

from typing import Any
from urllib.parse import urlsplit

from infra.declarations.environment import Environment
from infra.declarations.scalars import Cluster
from infra.manifests.manifest import Manifest, manifest

_DNS: Manifest = {
    "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
    "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
}
# Where pods of a kind of cluster ask for the credentials of their service account: EKS Pod Identity's agent.
_CREDENTIALS: dict[Cluster, tuple[str, int]] = {"eks": ("169.254.170.23/32", 80)}
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


def egress(environment: Environment, *urls: str) -> list[Manifest]:
    """DNS, the ports of these addresses wherever they are (object stores have no fixed networks), and credentials."""
    ports = sorted({_port(url) for url in urls if urlsplit(url).scheme not in _LOCAL})
    if not ports:
        return [_DNS]
    return [
        _DNS,
        {"ports": [{"port": port, "protocol": "TCP"} for port in ports]},
        *_credentials(environment),
    ]


def _credentials(environment: Environment) -> list[Manifest]:
    if environment.cluster not in _CREDENTIALS:
        return []
    cidr, port = _CREDENTIALS[environment.cluster]
    return [{"to": [{"ipBlock": {"cidr": cidr}}], "ports": [{"port": port, "protocol": "TCP"}]}]


def _port(url: str) -> int:
    """Without a port in the address it is 443, of which stores such as s3:// are served too; 80 for http."""
    parts = urlsplit(url)
    return parts.port or (80 if parts.scheme == "http" else 443)
