"""Parts of the platform: an Argo CD Application for each chart, with our values, and a project of their own."""

from infra.declarations.environment import Environment
from infra.declarations.parts import KUBE_SYSTEM, PARTS, PartName
from infra.manifests import names
from infra.manifests.manifest import SYNC_WAVE, Manifest, manifest
from infra.manifests.values import values
from infra.manifests.yaml import dump

PROJECT = "parts"
FOLDER = "parts"
_SERVER = "https://kubernetes.default.svc"
_SECURITY = "pod-security.kubernetes.io"


def parts(environment: Environment) -> list[Manifest]:
    """What goes to the folder of Applications; nothing where no part is wanted."""
    if not environment.parts:
        return []
    return [_project(environment), *(_application(environment, name) for name in environment.parts)]


def spaces(environment: Environment) -> list[Manifest]:
    """The namespaces that parts come into, with what their pods may do."""
    wanted = {PARTS[name].namespace: PARTS[name].level for name in environment.parts}
    return [_namespace(name, level) for name, level in sorted(wanted.items()) if name != KUBE_SYSTEM]


def _namespace(name: str, level: str) -> Manifest:
    """Never pruned by a slip: that takes everything along."""
    security = {f"{_SECURITY}/{mode}": level for mode in ("audit", "enforce", "warn")}
    annotations = {SYNC_WAVE: "-1", "argocd.argoproj.io/sync-options": "Prune=confirm,Delete=confirm"}
    return manifest("v1/Namespace", name, labels=security, annotations=annotations)


def _project(environment: Environment) -> Manifest:
    """Charts make what they please, so that these are the only charts, and these the only places."""
    charts = {PARTS[name].chart.repository for name in environment.parts}
    homes = {PARTS[name].namespace for name in environment.parts} | {KUBE_SYSTEM}
    spec = {
        "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        "description": f"Charts of other projects that {environment.name} runs",
        "destinations": [{"namespace": home, "server": _SERVER} for home in sorted(homes)],
        "namespaceResourceWhitelist": [{"group": "*", "kind": "*"}],
        "sourceRepos": sorted(charts),
    }
    annotations = {SYNC_WAVE: "-50"}
    kind = "argoproj.io/v1alpha1/AppProject"
    return manifest(kind, PROJECT, names.ARGOCD, annotations=annotations, spec=spec)


def _application(environment: Environment, name: PartName) -> Manifest:
    """Not taken along when it leaves: what a chart made may hold data. Retried until what it waits for is there."""
    part = PARTS[name]
    chart = part.chart
    told = values(environment, name)
    helm: Manifest = {"releaseName": name, **({"skipCrds": True} if name == "envoy-gateway" else {})}
    if told:
        helm["values"] = dump(told)
    source = {
        "chart": chart.name,
        "helm": helm,
        "repoURL": chart.repository,
        "targetRevision": chart.version,
    }
    backoff = {"duration": "10s", "factor": 2, "maxDuration": "2m"}
    policy = {
        "automated": {"prune": True, "selfHeal": True},
        "retry": {"backoff": backoff, "limit": -1},
        "syncOptions": ["ServerSideApply=true", "SkipDryRunOnMissingResource=true", "PruneLast=true"],
    }
    return manifest(
        "argoproj.io/v1alpha1/Application",
        f"part-{name}",
        names.ARGOCD,
        annotations={SYNC_WAVE: str(part.wave)},
        spec={
            "destination": {"namespace": part.namespace, "server": _SERVER},
            "project": PROJECT,
            "source": source,
            "syncPolicy": policy,
        },
    )
