"""The cluster as the tests see it: objects by kind, as plain dictionaries."""

import json
import time
from collections.abc import Callable
from typing import Any

import kubernetes.config
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import NotFoundError, ResourceNotFoundError

Item = dict[str, Any]
APPLICATION = "argoproj.io/v1alpha1/Application"
SERVICE = "serving.kserve.io/v1beta1/InferenceService"
ROUTE = "gateway.networking.k8s.io/v1/HTTPRoute"


class Kube:
    """Reads, and the few writes that a test makes, as an administrator or as whom that one may stand for."""

    def __init__(self, user: str = "") -> None:
        client = kubernetes.config.new_client_from_config()
        if user:
            client.set_default_header("Impersonate-User", user)
        self._client = DynamicClient(client)

    def _kind(self, kind: str) -> Any:
        version, _, name = kind.rpartition("/")
        return self._client.resources.get(api_version=version, kind=name)

    def knows(self, kind: str) -> bool:
        try:
            return self._kind(kind) is not None
        except ResourceNotFoundError:
            return False

    def get(self, kind: str, name: str, namespace: str | None = None) -> Item | None:
        try:
            return self._kind(kind).get(name=name, namespace=namespace).to_dict()
        except NotFoundError:
            return None

    def all(self, kind: str, namespace: str | None = None, labels: str = "") -> list[Item]:
        found = self._kind(kind).get(namespace=namespace, label_selector=labels)
        return [item.to_dict() for item in found.items]

    def apply(self, item: Item, *, try_only: bool = False) -> Item:
        """Server-side apply; `try_only` lets the server say what it would make of it."""
        kind = self._kind(f"{item['apiVersion']}/{item['kind']}")
        return kind.server_side_apply(
            body=item,
            namespace=item["metadata"].get("namespace"),
            field_manager="mainline-e2e",
            force_conflicts=True,
            **({"dry_run": "All"} if try_only else {}),
        ).to_dict()

    def merge(self, kind: str, name: str, namespace: str, change: Item) -> None:
        """What a person with kubectl patch would do."""
        self._kind(kind).patch(
            name=name, namespace=namespace, body=change, content_type="application/merge-patch+json"
        )

    def delete(self, kind: str, name: str, namespace: str, **options: Any) -> None:
        try:
            self._kind(kind).delete(name=name, namespace=namespace, **options)
        except NotFoundError:
            return

    def evict(self, pod: str, namespace: str) -> None:
        """As a drain of its node does; ApiException 429 where a disruption budget holds it."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace},
        }
        self._kind("v1/Pod").subresources["eviction"].create(name=pod, namespace=namespace, body=body)

    def raw(self, path: str) -> Any:
        """What the API server answers to a GET of this path, such as one that it hands on to a kubelet."""
        return json.loads(self._client.request("get", path, serialize=False).data)

    def applications(self) -> dict[str, tuple[str, str]]:
        """(sync, health) of each Application."""
        return {item["metadata"]["name"]: verdict(item) for item in self.all(APPLICATION, "argocd")}

    def ready(self, name: str) -> bool:
        item = self.get(SERVICE, name, "models") or {}
        conditions = item.get("status", {}).get("conditions", [])
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def pods(self, service: str) -> list[Item]:
        return self.all("v1/Pod", "models", f"serving.kserve.io/inferenceservice={service}")

    def backends(self, model: str) -> dict[str, int]:
        """InferenceService: weight, of every rule of the route."""
        route = self.get(ROUTE, model, "models") or {"spec": {"rules": []}}
        references = [ref for rule in route["spec"]["rules"] for ref in rule["backendRefs"]]
        return {ref["name"].removesuffix("-predictor"): ref.get("weight", 1) for ref in references}


def verdict(application: Item) -> tuple[str, str]:
    status = application.get("status", {})
    return status.get("sync", {}).get("status", "Unknown"), status.get("health", {}).get("status", "Unknown")


def wait(what: str, true: Callable[[], Any], seconds: float, pause: float = 0.5) -> Any:
    """The first true answer, or an assertion that names what did not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := true():
                return found
        except (ApiException, ResourceNotFoundError):
            pass  # an API server that is busy, or does not know a kind yet, is asked again
        time.sleep(pause)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")
