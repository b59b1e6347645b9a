"""The servers of an environment as `mainline verify` asks them, on this machine or in a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mainline.live import Unanswered, served_digest


@dataclass(frozen=True, slots=True)
class Said:
    """ "ok", or in words what differs; `note` says what could not be asked although nothing differs."""

    live: str
    note: str = ""


class Servers(Protocol):
    """`gateway` is where clients call, and `host` the name that they call it by, if not the address's own."""

    @property
    def gateway(self) -> str | None: ...

    @property
    def host(self) -> str: ...

    def running(self) -> Mapping[str, str]:
        """InferenceService -> where it runs, in words."""

    def ask(self, model: str, service: str, digest: str) -> Said:
        """Whether everything behind an InferenceService serves the bytes of this digest."""


@dataclass(frozen=True, slots=True)
class LocalServers:
    """The processes of the embedded environment: the port of each InferenceService."""

    ports: Mapping[str, int]
    gateway: str | None
    host: str = ""

    def running(self) -> Mapping[str, str]:
        return {name: f"on port {port}" for name, port in self.ports.items()}

    def ask(self, model: str, service: str, digest: str) -> Said:
        port = self.ports.get(service)
        if port is None:
            return Said("nothing runs")
        try:
            found = served_digest(f"http://127.0.0.1:{port}", model)
        except Unanswered as error:
            return Said(f"no answer: {error}")
        return Said("ok" if found == digest else f"serves {found}")


def routed(model: str, servers: Servers, allowed: set[str]) -> str:
    """Whether a client's call comes to a version that Git names: "ok", or what differs."""
    if not servers.gateway:
        return "no gateway is known; make up starts it here, --gateway URL names one"
    try:
        found = served_digest(servers.gateway, model, servers.host)
    except Unanswered as error:
        return f"no answer at the gateway {servers.gateway}: {error}"
    return (
        "ok" if found in allowed else f"the gateway answers from {found or 'a server that names no digest'}"
    )
