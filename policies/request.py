"""One question to the admission rules: who wants to do what to which object, as an AdmissionReview asks it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Object = Mapping[str, Any]
Operation = Literal["CREATE", "UPDATE", "DELETE"]

# Cluster-scoped kinds that are rendered here or that rules speak of; every other kind has a namespace.
_WIDE = frozenset(
    {
        "ClusterServingRuntime",
        "ClusterStorageContainer",
        "CustomResourceDefinition",
        "Namespace",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
)


@dataclass(frozen=True, slots=True)
class User:
    """Who asks; the API server adds `system:authenticated` to everybody that it knows."""

    name: str
    groups: tuple[str, ...] = ("system:authenticated",)


ARGO_CD = User(
    "system:serviceaccount:argocd:argocd-application-controller",
    ("system:serviceaccounts", "system:serviceaccounts:argocd", "system:authenticated"),
)
JOB_CONTROLLER = User(
    "system:serviceaccount:kube-system:job-controller",
    ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
)
ORDINARY = User("alice")


@dataclass(frozen=True, slots=True)
class Request:
    """`object` is what would be there afterwards (None at DELETE), `old` what is there (None at CREATE).

    `namespace` is the Namespace object around it; by default one with nothing but its name.
    """

    operation: Operation
    user: User
    object: Object | None
    old: Object | None = None
    subresource: str = ""
    namespace: Object | None = field(default=None)

    @property
    def subject(self) -> Object:
        found = self.object if self.object is not None else self.old
        if found is None:
            raise ValueError(f"{self.operation} of nothing; give object, or old for DELETE")
        return found

    @property
    def group(self) -> str:
        return str(self.subject["apiVersion"]).rpartition("/")[0]

    @property
    def version(self) -> str:
        return str(self.subject["apiVersion"]).rpartition("/")[2]

    @property
    def resource(self) -> str:
        """The plural in lower case, with the subresource behind a slash."""
        name = plural(str(self.subject["kind"]))
        return f"{name}/{self.subresource}" if self.subresource else name

    @property
    def around(self) -> Object | None:
        """The namespace of the object; for a Namespace itself, and None for what lies in none."""
        if self.subject["kind"] == "Namespace":
            return _labelled(self.subject)
        if self.subject["kind"] in _WIDE:
            return None
        name = str(self.subject["metadata"].get("namespace", "default"))
        return _labelled(self.namespace or {"metadata": {"name": name}})

    def as_cel(self) -> dict[str, Any]:
        """The variable `request`: the fields of AdmissionRequest that rules may read."""
        metadata, kind = self.subject["metadata"], self.subject["kind"]
        return {
            "kind": {"group": self.group, "version": self.version, "kind": kind},
            "resource": {"group": self.group, "version": self.version, "resource": plural(kind)},
            "subResource": self.subresource,
            "name": metadata.get("name", ""),
            "namespace": metadata.get("namespace", ""),
            "operation": self.operation,
            "userInfo": {"username": self.user.name, "groups": list(self.user.groups)},
            "dryRun": False,
        }


def plural(kind: str) -> str:
    """As Kubernetes names resources after kinds: NetworkPolicy is networkpolicies, Gateway is gateways."""
    name = kind.lower()
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "x", "ch")) else f"{name}s"


def _labelled(namespace: Object) -> Object:
    """With the label of its name, which the API server puts on every namespace."""
    metadata = namespace["metadata"]
    labels = {**metadata.get("labels", {}), "kubernetes.io/metadata.name": metadata["name"]}
    return {"apiVersion": "v1", "kind": "Namespace", **namespace, "metadata": {**metadata, "labels": labels}}
