"""Argo CD as `pulumi up` installs it: the values of its chart, what its first project may do. All else is in Git."""

from typing import Any

from infra.declarations.environment import Environment
from infra.manifests import names
from infra.manifests.health import CHECKS
from infra.manifests.manifest import Manifest
from infra.manifests.values import resources

SERVER = "https://kubernetes.default.svc"
# Who looks: whoever may forward a port and is in one of these groups; nobody changes anything but by a commit.
_READS = ("applications", "clusters", "projects", "repositories")


def values(environment: Environment) -> dict[str, Any]:
    """Hardened: no anonymous, no admin, no shell, a policy that gives nothing by itself, limits for what reads Git."""
    return {
        "crds": {"install": True, "keep": True},
        "fullnameOverride": "argocd",
        "global": {"networkPolicy": {"create": True, "defaultDenyIngress": True}},
        "configs": _configs(),
        "controller": {"replicas": 1, "resources": resources("250m", "1Gi")},
        "repoServer": {
            "replicas": environment.floor,
            "automountServiceAccountToken": False,
            "resources": resources("100m", "512Mi"),
        },
        "server": {
            "replicas": 1,
            "resources": resources("50m", "192Mi"),
            "service": {"type": "ClusterIP"},
            "ingress": {"enabled": False},
        },
        "redis": {"resources": resources("50m", "128Mi")},
        # What nothing here uses: less that runs, less that can be wrong.
        "applicationSet": {"replicas": 0},
        "dex": {"enabled": False},
        "notifications": {"enabled": False},
    }


def _configs() -> dict[str, Any]:
    reads = "\n".join(f"p, role:looks, {what}, get, *, allow" for what in _READS)
    return {
        "cm": {
            "admin.enabled": False,
            "application.resourceTrackingMethod": "annotation",
            "exec.enabled": False,
            "statusbadge.enabled": False,
            "users.anonymous.enabled": False,
            **CHECKS,
        },
        "params": {
            "controller.diff.server.side": "true",
            "controller.sync.timeout.seconds": "300",
            "reposerver.parallelism.limit": "4",
            "server.disable.auth": "false",
        },
        "rbac": {
            "policy.default": "",
            "policy.csv": f"{reads}\ng, mainline:looks, role:looks\n",
            "scopes": "[groups]",
        },
    }


def first_project(environment: Environment) -> Manifest:
    """Of the project `default`, which every Argo CD has and which allows everything: the root Application and no more.

    It makes Applications, projects and settings, all in Argo CD's own namespace (docs/adr/0006).
    """
    kinds = (("", "ConfigMap"), ("argoproj.io", "AppProject"), ("argoproj.io", "Application"))
    return {
        "clusterResourceBlacklist": [{"group": "*", "kind": "*"}],
        "description": "The root Application; docs/adr/0006 says why it is here",
        "destinations": [{"namespace": names.ARGOCD, "server": SERVER}],
        "namespaceResourceWhitelist": [{"group": group, "kind": kind} for group, kind in kinds],
        "sourceRepos": [environment.repository],
    }


def security() -> dict[str, str]:
    """Labels of Argo CD's namespace: `restricted` is told of, and held only once its chart was seen to keep it."""
    modes = {"audit": "restricted", "enforce": "baseline", "warn": "restricted"}
    return {f"pod-security.kubernetes.io/{mode}": level for mode, level in modes.items()}
