"""What a cluster runs beside models and jobs: charts of other projects, each pinned, and what each needs of the others.

Versions and addresses were seen in public documentation and repositories of 2026; no registry was asked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from infra.declarations.errors import Location

PartName = Literal[
    "aws-load-balancer-controller",
    "cert-manager",
    "envoy-gateway",
    "external-dns",
    "external-secrets",
    "gateway-api",
    "karpenter",
    "kserve",
    "kserve-crd",
    "kueue",
    "loki",
    "mlflow",
    "opencost",
    "opentelemetry",
    "prometheus",
    "tempo",
    "trainer",
    "velero",
]
Level = Literal["baseline", "privileged", "restricted"]  # of pod security, of the part's namespace

KUBE_SYSTEM, MONITORING = "kube-system", "monitoring"


@dataclass(frozen=True, slots=True)
class Chart:
    """`repository`: `https://` of an index, or the host and path of an OCI registry, without a scheme."""

    repository: str
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Part:
    """`wave`: its turn among the parts; `level`: of its namespace; `aws`: it works for an EKS cluster only."""

    chart: Chart
    namespace: str
    wave: int
    level: Level = "restricted"
    needs: tuple[PartName, ...] = ()
    aws: bool = False


_PROMETHEUS = "https://prometheus-community.github.io/helm-charts"
_GRAFANA = "https://grafana.github.io/helm-charts"
_KSERVE = "ghcr.io/kserve/charts"
_ENVOY = "docker.io/envoyproxy"

ARGO_CD = Chart("https://argoproj.github.io/argo-helm", "argo-cd", "9.4.17")

PARTS: dict[PartName, Part] = {
    # What others cannot start without.
    "karpenter": Part(Chart("public.ecr.aws/karpenter", "karpenter", "1.9.0"), KUBE_SYSTEM, -30, aws=True),
    "cert-manager": Part(Chart("https://charts.jetstack.io", "cert-manager", "v1.19.4"), "cert-manager", -30),
    "gateway-api": Part(Chart(_ENVOY, "gateway-crds-helm", "v1.7.0"), "envoy-gateway-system", -30),
    "external-secrets": Part(
        Chart("https://charts.external-secrets.io", "external-secrets", "1.2.1"),
        "external-secrets",
        -30,
        aws=True,
    ),
    # node-exporter reads the machine: host paths, the host's network.
    "prometheus": Part(
        Chart(_PROMETHEUS, "kube-prometheus-stack", "81.6.9"),
        MONITORING,
        -30,
        "privileged",
        ("external-secrets",),
        aws=True,
    ),
    # What serves, queues and keeps.
    "aws-load-balancer-controller": Part(
        Chart("https://aws.github.io/eks-charts", "aws-load-balancer-controller", "1.14.0"),
        KUBE_SYSTEM,
        -20,
        aws=True,
    ),
    "external-dns": Part(
        Chart("https://kubernetes-sigs.github.io/external-dns", "external-dns", "1.20.0"),
        "external-dns",
        -20,
        aws=True,
    ),
    "envoy-gateway": Part(
        Chart(_ENVOY, "gateway-helm", "v1.7.0"), "envoy-gateway-system", -20, needs=("gateway-api",)
    ),
    "kserve-crd": Part(Chart(_KSERVE, "kserve-crd", "v0.20.0"), "kserve", -20),
    "kueue": Part(
        Chart("registry.k8s.io/kueue/charts", "kueue", "0.17.2"), "kueue-system", -20, needs=("trainer",)
    ),
    "trainer": Part(Chart("ghcr.io/kubeflow/charts", "kubeflow-trainer", "2.1.0"), "kubeflow-system", -20),
    "loki": Part(Chart(_GRAFANA, "loki", "6.24.0"), MONITORING, -20, "privileged", aws=True),
    "tempo": Part(Chart(_GRAFANA, "tempo", "1.21.1"), MONITORING, -20, "privileged", aws=True),
    "velero": Part(
        Chart("https://vmware-tanzu.github.io/helm-charts", "velero", "12.1.0"), "velero", -20, aws=True
    ),
    # What needs those.
    "kserve": Part(
        Chart(_KSERVE, "kserve-resources", "v0.20.0"),
        "kserve",
        -10,
        needs=("cert-manager", "gateway-api", "kserve-crd"),
    ),
    "opentelemetry": Part(
        Chart(
            "https://open-telemetry.github.io/opentelemetry-helm-charts", "opentelemetry-collector", "0.108.0"
        ),
        MONITORING,
        -10,
        "privileged",
        ("loki", "tempo"),
    ),
    "mlflow": Part(
        Chart("https://community-charts.github.io/helm-charts", "mlflow", "1.8.1"),
        "mlflow",
        -10,
        needs=("external-secrets",),
        aws=True,
    ),
    "opencost": Part(
        Chart("https://opencost.github.io/opencost-helm-chart", "opencost", "2.1.5"),
        "opencost",
        -10,
        needs=("prometheus",),
    ),
}
_SECRETS: dict[PartName, str] = {"mlflow": "mlflow", "prometheus": "grafana"}


@dataclass(frozen=True, slots=True)
class Place:
    """What an environment has that parts ask for: EKS, a database, a domain, secrets by name."""

    aws: bool
    database: bool
    domain: bool
    secrets: Sequence[str]


def misfits(parts: Sequence[PartName], place: Place) -> Iterator[tuple[Location, str]]:
    """Why these parts do not fit together, or not into their environment."""
    for index, name in enumerate(parts):
        where: Location = ("parts", index)
        if name in parts[:index]:
            yield where, f"{name!r} is there twice; remove one"
        for needed in PARTS[name].needs:
            if needed not in parts:
                yield where, f"{name!r} needs {needed!r}; add it, or remove {name!r}"
        if PARTS[name].aws and not place.aws:
            yield where, f"{name!r} is for `cluster: eks`; install it in another way, or remove it"
        elif missing := _missing(name, place):
            yield where, f"{name!r} {missing}, or remove it"


def _missing(name: PartName, place: Place) -> str | None:
    """What a part lacks in its place, and the fix."""
    secret = _SECRETS.get(name)
    if secret and secret not in place.secrets:
        return f"reads secret {secret!r}; add it to `secrets` of mainline:cloud"
    if name == "mlflow" and not place.database:
        return "has no database; add `database` to mainline:cloud"
    if name == "external-dns" and not place.domain:
        return "has no name to write; set mainline:domain"
    return None
