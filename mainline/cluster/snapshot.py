"""What one look at a cluster found: the objects of an environment, and plain facts read from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.manifests import names
from infra.manifests.manifest import MODEL_LABEL
from mainline.cluster.connection import Connection
from mainline.errors import Refusal

Object = Mapping[str, Any]

_SERVICE_LABEL = "serving.kserve.io/inferenceservice"
_DIGEST, _VERSION = "V2SERVE_MODEL_DIGEST", "V2SERVE_MODEL_VERSION"


@dataclass(frozen=True, slots=True)
class Pod:
    name: str
    ready: bool


@dataclass(frozen=True, slots=True)
class Service:
    """One InferenceService; `reason` says why it is not ready, as KServe or one of its pods has it."""

    name: str
    model: str
    digest: str
    version: int | None
    ready: bool
    reason: str | None
    pods: tuple[Pod, ...]

    @property
    def ready_pods(self) -> int:
        return sum(pod.ready for pod in self.pods)


@dataclass(frozen=True, slots=True)
class Application:
    """One Application of Argo CD: the commit that it compared last, and what it made of it."""

    name: str
    folder: str
    sync: str
    health: str
    revision: str
    reason: str | None
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`routes`: model -> rules, each {weights: {backend: weight}, mirrors: [backend]}, in their order."""

    applications: tuple[Application, ...]
    services: Mapping[str, Service]
    routes: Mapping[str, list[dict[str, Any]]]
    gateway: str | None

    @property
    def commit(self) -> str | None:
        """The commit that every Application is synced to; None while they differ."""
        revisions = {one.revision if one.sync == "Synced" else "" for one in self.applications}
        return (revisions.pop() or None) if len(revisions) == 1 else None


def look(connection: Connection, env: str) -> Snapshot:
    """Five lists, one after the other. Raises Refusal, also where the cluster belongs to another environment."""
    applications = connection.items("argoproj.io/v1alpha1", "applications", names.ARGOCD)
    prefix = f"clusters/{env}/"
    mine = [one for one in applications if _path(one).startswith(prefix)]
    if not mine:
        raise Refusal(_stranger(connection, env, applications))
    services = connection.items("serving.kserve.io/v1beta1", "inferenceservices", names.MODELS)
    pods = connection.items("v1", "pods", names.MODELS)
    routes = connection.items("gateway.networking.k8s.io/v1", "httproutes", names.MODELS)
    gateways = connection.items("gateway.networking.k8s.io/v1", "gateways", names.GATEWAY)
    found = [_service(one, pods) for one in services]
    return Snapshot(
        tuple(sorted((_application(one, prefix) for one in mine), key=lambda one: one.name)),
        {one.name: one for one in found},
        {_label(one): _rules(one) for one in routes if _label(one)},
        _gateway(gateways),
    )


def _stranger(connection: Connection, env: str, applications: Sequence[Object]) -> str:
    """A kubeconfig's current context is easily that of another environment."""
    paths = {_path(one).split("/")[1] for one in applications if _path(one).startswith("clusters/")}
    others = f"it serves {', '.join(sorted(paths))}" if paths else "it has none of ours"
    where = f"context {connection.context!r} ({connection.server})"
    return f"{where} has no Application of clusters/{env}/, {others}; use --context NAME, or bootstrap it"


def _path(application: Object) -> str:
    return str(_at(application, "spec", "source", "path") or "")


def _application(item: Object, prefix: str) -> Application:
    status = item.get("status") or {}
    operation = status.get("operationState") or {}
    failed = operation.get("phase") in ("Failed", "Error")
    conditions = status.get("conditions") or ()
    return Application(
        name=item["metadata"]["name"],
        folder=_path(item).removeprefix(prefix).rstrip("/"),
        sync=str(_at(status, "sync", "status") or "Unknown"),
        health=str(_at(status, "health", "status") or "Unknown"),
        revision=str(_at(status, "sync", "revision") or ""),
        reason=(_line(operation.get("message")) if failed else None)
        or _line(_at(status, "health", "message")),
        errors=tuple(
            f"{one['type']}: {_line(one.get('message')) or ''}"
            for one in conditions
            if str(one.get("type", "")).endswith("Error")
        ),
    )


def _service(item: Object, pods: Sequence[Object]) -> Service:
    name = item["metadata"]["name"]
    told = {one.get("name"): one.get("value") for one in _at(item, "spec", "predictor", "model", "env") or ()}
    conditions = {one["type"]: one for one in _at(item, "status", "conditions") or ()}
    mine = [pod for pod in pods if (_at(pod, "metadata", "labels") or {}).get(_SERVICE_LABEL) == name]
    living = [pod for pod in mine if "deletionTimestamp" not in pod["metadata"]]
    ready = conditions.get("Ready", {}).get("status") == "True"
    version = str(told.get(_VERSION) or "")
    return Service(
        name,
        _label(item),
        str(told.get(_DIGEST) or ""),
        int(version) if version.isdecimal() else None,
        ready,
        None if ready else _why(conditions, living),
        tuple(_pod(pod) for pod in living),
    )


def _why(conditions: Mapping[str, Object], pods: Sequence[Object]) -> str:
    """A container's own words say more than KServe's conditions."""
    for pod in pods:
        status = pod.get("status") or {}
        for kind in ("initContainerStatuses", "containerStatuses"):
            for container in status.get(kind) or ():
                waiting = _at(container, "state", "waiting") or {}
                ended = _at(container, "lastState", "terminated") or {}
                if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
                    words = ended.get("message") or waiting.get("message") or ""
                    return f"{pod['metadata']['name']}: {waiting['reason']}: {_line(words) or ''}".rstrip(
                        ": "
                    )
    false = [one for one in conditions.values() if one.get("status") == "False"]
    said = [_line(one.get("message")) or _line(one.get("reason")) for one in false]
    return next((words for words in said if words), "not ready yet")


def _pod(item: Object) -> Pod:
    conditions = _at(item, "status", "conditions") or ()
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return Pod(item["metadata"]["name"], ready)


def _rules(route: Object) -> list[dict[str, Any]]:
    return [
        {
            "weights": {one["name"]: one.get("weight", 1) for one in rule.get("backendRefs") or ()},
            "mirrors": [
                one["requestMirror"]["backendRef"]["name"]
                for one in rule.get("filters") or ()
                if one.get("type") == "RequestMirror"
            ],
        }
        for rule in _at(route, "spec", "rules") or ()
    ]


def _gateway(gateways: Sequence[Object]) -> str | None:
    """The address that the gateway's implementation wrote into its status, with the listener's scheme and port."""
    for item in gateways:
        addresses = _at(item, "status", "addresses") or ()
        listeners = _at(item, "spec", "listeners") or ()
        if item["metadata"]["name"] == names.PROJECT and addresses and listeners:
            scheme, port = str(listeners[0]["protocol"]).lower(), listeners[0]["port"]
            usual = {"http": 80, "https": 443}.get(scheme)
            return f"{scheme}://{addresses[0]['value']}" + ("" if port == usual else f":{port}")
    return None


def _label(item: Object) -> str:
    return str((_at(item, "metadata", "labels") or {}).get(MODEL_LABEL, ""))


def _at(item: Any, *keys: str) -> Any:
    """What lies at the keys, None where one of them is missing: every field of a live object may be."""
    for key in keys:
        if not isinstance(item, Mapping) or key not in item:
            return None
        item = item[key]
    return item


def _line(text: Any) -> str | None:
    return " ".join(str(text).split())[:300] if text else None
