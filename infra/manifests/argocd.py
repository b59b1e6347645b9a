"""What Argo CD syncs: one Application for each folder, and one for the folder of the Applications."""

from collections.abc import Iterable, Mapping

from infra.declarations.environment import Environment
from infra.manifests import names
from infra.manifests.health import health
from infra.manifests.manifest import MODEL_LABEL, SYNC_WAVE, Manifest, manifest
from infra.manifests.parts import parts

_SERVER = "https://kubernetes.default.svc"
_ROOT = "argocd"
# Exists in every Argo CD, so that the root alone can be applied; docs/adr/0006 says why it is not confined further.
_ROOT_PROJECT = "default"
_TAKES_ALONG = (
    "resources-finalizer.argocd.argoproj.io/foreground"  # a model that leaves takes its objects along
)
_WAVES = {"parts": "-40", "capacity": "-25", "secrets": "-25", "queues": "-15"}  # between the parts' own
# Every namespaced kind that anything here renders, whether or not this commit does: a model that leaves is removed
# by its Application, which needs the permission for the last of its kind too.
_KINDS = (
    ("", "ConfigMap"),
    ("", "ServiceAccount"),
    ("batch", "Job"),
    ("external-secrets.io", "ExternalSecret"),
    ("gateway.envoyproxy.io", "EnvoyProxy"),
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "HTTPRoute"),
    ("kueue.x-k8s.io", "LocalQueue"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("policy", "PodDisruptionBudget"),
    ("serving.kserve.io", "InferenceService"),
    ("trainer.kubeflow.org", "TrainJob"),
    ("trainer.kubeflow.org", "TrainingRuntime"),
)


def argocd(environment: Environment, folders: Mapping[str, list[Manifest]]) -> list[Manifest]:
    """`folders`: the objects of every other application folder, which the project of the Applications has to allow."""
    everything = [item for objects in folders.values() for item in objects]
    applications = [_application(environment, folder) for folder in folders]
    return [
        _project(environment, everything),
        root(environment),
        *parts(environment),
        *applications,
        health(),
    ]


def pruned(model: str) -> Manifest:
    """Keeps a sync open until what it pruned is gone: it runs after that, and does nothing.

    A revert that finds the old server still leaving would apply to it, and wait for ever for what is gone.
    """
    annotations = {
        "argocd.argoproj.io/hook": "PostSync",
        "argocd.argoproj.io/hook-delete-policy": "HookSucceeded",
    }
    labels = {MODEL_LABEL: model}
    return manifest("v1/ConfigMap", f"{model}-pruned", names.MODELS, labels=labels, annotations=annotations)


def _project(environment: Environment, everything: Iterable[Manifest]) -> Manifest:
    """Allows exactly the namespaces and kinds that are rendered; before the Applications, which need it."""
    objects = list(everything)
    spaces = {item["metadata"]["namespace"] for item in objects if "namespace" in item["metadata"]}
    wide = {_group_kind(item) for item in objects if "namespace" not in item["metadata"]}
    spec = {
        "clusterResourceWhitelist": [_listed(group_kind) for group_kind in sorted(wide)],
        "description": f"Everything that {environment.repository} renders for {environment.name}",
        "destinations": [{"namespace": n, "server": _SERVER} for n in sorted(spaces)],
        "namespaceResourceWhitelist": [_listed(group_kind) for group_kind in _KINDS],
        "sourceRepos": [environment.repository],
    }
    wave = {SYNC_WAVE: "-50"}
    return manifest(
        "argoproj.io/v1alpha1/AppProject", names.PROJECT, names.ARGOCD, annotations=wave, spec=spec
    )


def _listed(group_kind: tuple[str, str]) -> Manifest:
    return dict(zip(("group", "kind"), group_kind, strict=True))


def _group_kind(item: Manifest) -> tuple[str, str]:
    return item["apiVersion"].rpartition("/")[0], item["kind"]


def root(environment: Environment) -> Manifest:
    """Last in its own folder: a cluster whose Argo CD judges Applications would let it wait for itself elsewhere."""
    name = f"{names.PROJECT}-{environment.name}"
    return _synced(environment, name, _ROOT, names.ARGOCD, {SYNC_WAVE: "1"}, _ROOT_PROJECT)


def _application(environment: Environment, folder: str) -> Manifest:
    kind, _, name = folder.partition("/")
    namespace = {"models": names.MODELS, "jobs": names.TRAINING}.get(kind, names.GATEWAY)
    annotations = {
        SYNC_WAVE: _WAVES.get(folder, "0" if name else "-1"),
        # Not for the root: the status of Applications moves all the time, and the root would never be in sync.
        "argocd.argoproj.io/compare-options": "ServerSideDiff=true,IncludeMutationWebhook=true",
    }
    title = f"{kind.removesuffix('s')}-{name}" if name else kind
    item = _synced(environment, title, folder, namespace, annotations, names.PROJECT)
    item["metadata"]["finalizers"] = [_TAKES_ALONG]
    return item


def _synced(
    environment: Environment,
    name: str,
    folder: str,
    namespace: str,
    annotations: Mapping[str, str],
    project: str,
) -> Manifest:
    return manifest(
        "argoproj.io/v1alpha1/Application",
        name,
        names.ARGOCD,
        annotations=annotations,
        spec={
            "destination": {"namespace": namespace, "server": _SERVER},
            "project": project,
            "source": _source(environment, folder),
            "syncPolicy": _sync_policy(),
        },
    )


def _source(environment: Environment, folder: str) -> Manifest:
    return {
        "directory": {"recurse": True},
        "path": f"clusters/{environment.name}/{folder}",
        "repoURL": environment.repository,
        "targetRevision": environment.branch,
    }


def _sync_policy() -> Manifest:
    """Every sync applies everything, and one that failed is tried for ever, each time with the newest commit.

    With ApplyOutOfSyncOnly a retry has no wave to wait for: what is applied already, ready or not, is left out of it.
    """
    backoff = {"duration": "5s", "factor": 2, "maxDuration": "20s"}
    return {
        "automated": {"prune": True, "selfHeal": True},
        "retry": {"backoff": backoff, "limit": -1, "refresh": True},
        "syncOptions": ["ServerSideApply=true", "PruneLast=true", "PrunePropagationPolicy=foreground"],
    }
