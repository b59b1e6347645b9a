"""The pods behind each InferenceService, asked one by one through the API server's proxy: no port is forwarded."""

from collections.abc import Mapping
from dataclasses import dataclass

from infra.declarations.environment import Environment
from infra.manifests import names
from mainline.cluster.connection import Connection, Unreached, connect, could_not_reach, said
from mainline.cluster.snapshot import Pod, Service, Snapshot, look
from mainline.servers import Said


@dataclass(frozen=True, slots=True)
class ClusterServers:
    connection: Connection
    snapshot: Snapshot
    gateway: str | None
    host: str = ""

    def running(self) -> Mapping[str, str]:
        found = self.snapshot.services.values()
        return {one.name: f"with {one.ready_pods} of {len(one.pods)} pods ready" for one in found}

    def ask(self, model: str, service: str, digest: str) -> Said:
        found = self.snapshot.services.get(service)
        if found is None:
            return Said("nothing runs")
        if found.digest != digest:
            return Said(f"the InferenceService names {found.digest or 'no digest'}")
        if not found.ready:
            return Said(f"not ready: {found.reason}")
        if not found.ready_pods:
            return Said("no pod is ready")
        return self._ask_pods(model, found, digest)

    def _ask_pods(self, model: str, service: Service, digest: str) -> Said:
        """A pod that nobody could ask is known by KServe only, and by v2serve, which starts with no other bytes."""
        unasked = ""
        for pod in (pod for pod in service.pods if pod.ready):
            served, problem = self._digest(model, pod)
            if problem:
                unasked = f"{pod.name} is ready with this digest, but could not be asked: {problem}"
            elif served != digest:
                return Said(f"pod {pod.name} serves {served or 'what it does not name'}")
        return Said("ok", unasked)

    def _digest(self, model: str, pod: Pod) -> tuple[str, str]:
        """(the digest that the pod says it serves, or why it could not be asked)"""
        target = f"http:{pod.name}:{names.HTTP_PORT}"
        path = f"/api/v1/namespaces/{names.MODELS}/pods/{target}/proxy/v2/models/{model}"
        try:
            reply = self.connection.get(path)
        except Unreached as error:
            return "", str(error)
        if could_not_reach(reply):
            return "", f"HTTP {reply.status}: {said(reply)}"
        return reply.headers.get("x-model-digest", ""), ""


def servers(environment: Environment, context: str | None, gateway: str | None) -> ClusterServers:
    """`gateway` goes before the host name that is declared, and that before the address that the cluster knows."""
    connection = connect(environment.name, context)
    snapshot = look(connection, environment.name)
    scheme = "https" if environment.gateway.certificate else "http"
    own = f"{scheme}://{environment.domain}" if environment.domain else snapshot.gateway
    address = gateway.rstrip("/") if gateway else own
    return ClusterServers(connection, snapshot, address, environment.domain or "")
