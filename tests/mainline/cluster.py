"""A small API server of the tests: the few lists that are read, in the shape that Kubernetes answers them."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

LISTS = {
    "applications": "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications",
    "inferenceservices": "/apis/serving.kserve.io/v1beta1/namespaces/models/inferenceservices",
    "pods": "/api/v1/namespaces/models/pods",
    "httproutes": "/apis/gateway.networking.k8s.io/v1/namespaces/models/httproutes",
    "gateways": "/apis/gateway.networking.k8s.io/v1/namespaces/gateway/gateways",
}


@dataclass
class Live:
    """What the API server answers: objects by list, digests by pod, and refusals (status, body) by list."""

    address: str
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in LISTS})
    served: dict[str, str] = field(default_factory=dict)
    refused: dict[str, tuple[int, Any]] = field(default_factory=dict)
    gateway: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, path: str, host: str) -> tuple[int, Any, dict[str, str]]:
        self.asked.append((path, host))
        for name, place in LISTS.items():
            if path == place:
                if name in self.refused:
                    return *self.refused[name], {}
                return 200, {"kind": "List", "items": self.lists[name]}, {}
        if "/proxy/" in path:
            return self._proxied(path)
        model = path.removeprefix("/v2/models/")
        if model in self.gateway:
            return 200, {"name": model}, {"x-model-digest": self.gateway[model]}
        return 404, {"error": "no route"}, {}

    def _proxied(self, path: str) -> tuple[int, Any, dict[str, str]]:
        if "proxy" in self.refused:
            return *self.refused["proxy"], {}
        pod = path.split("/pods/http:")[1].split(":")[0]
        return 200, {"name": "iris"}, {"x-model-digest": self.served[pod]}


def status(code: int, reason: str, message: str) -> tuple[int, dict[str, Any]]:
    """As the API server says no."""
    return code, {"kind": "Status", "status": "Failure", "message": message, "reason": reason, "code": code}


@contextmanager
def api_server() -> Iterator[Live]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body, headers = live.answer(self.path.split("?")[0], self.headers.get("host", ""))
            text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(code)
            for name, value in {**headers, "content-length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            """The tests read what was asked."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    live = Live(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield live
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def kubeconfig(*contexts: tuple[str, str], current: str | None = None) -> str:
    """`contexts`: (name, address of the API server)."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": address}} for name, address in contexts],
        "users": [{"name": "me", "user": {"token": "t"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name, _ in contexts],
        "current-context": current or contexts[0][0],
    }
    return yaml.safe_dump(document)


def application(rendered: dict[str, Any], commit: str, **status: Any) -> dict[str, Any]:
    """An Application as Argo CD has it after a sync."""
    found = {
        "sync": {"status": "Synced", "revision": commit},
        "health": {"status": "Healthy"},
        "operationState": {"phase": "Succeeded", "message": "successfully synced (all tasks run)"},
    }
    return {**rendered, "status": found | status}


def ready(rendered: dict[str, Any], state: str = "True", message: str = "") -> dict[str, Any]:
    """An InferenceService as KServe has it."""
    conditions = [
        {"type": "IngressReady", "status": "True"},
        {"type": "PredictorReady", "status": state, "message": message},
        {"type": "Ready", "status": state, "message": message},
    ]
    return {**rendered, "status": {"conditions": conditions}}


def pod(service: str, number: int, state: str = "True", **more: Any) -> dict[str, Any]:
    labels = {"serving.kserve.io/inferenceservice": service}
    metadata = {"name": f"{service}-predictor-{number}", "namespace": "models", "labels": labels}
    conditions = [{"type": "Ready", "status": state}]
    return {"metadata": metadata | more.pop("metadata", {}), "status": {"conditions": conditions, **more}}
