"""What the tests are told about a cluster, by environment variables; docs/kubernetes.md has them as a table."""

import os
import socket
from dataclasses import dataclass

_NEEDED = {
    "KUBECONFIG": "an admin's access to a cluster with Argo CD, KServe and a Gateway API implementation",
    "MAINLINE_E2E_REMOTE": "a Git address that the tests push to and Argo CD reads, such as file:///tmp/e2e.git",
}


@dataclass(frozen=True)
class Settings:
    remote: str
    gateway: str  # where calls of models go
    gateway_class: str
    gateway_namespace: str  # of the gateway's data plane
    host: str  # this machine, as pods reach it
    build: str  # a command with {context}, {file} and {name}; empty where the images are there
    restart: str  # a command that restarts the controllers; empty where nobody can say how
    settled: float  # seconds in which nothing may change
    times: int  # how often a promotion is timed
    rate: float  # calls a second while something happens


def missing() -> str | None:
    """Why the tests cannot run; None when they can."""
    for name, what in _NEEDED.items():
        if not os.environ.get(name):
            return f"{name} is not set: {what}"
    return None


def settings() -> Settings:
    told = os.environ.get
    return Settings(
        remote=os.environ["MAINLINE_E2E_REMOTE"],
        gateway=told("MAINLINE_E2E_GATEWAY", "http://127.0.0.1:80").rstrip("/"),
        gateway_class=told("MAINLINE_E2E_GATEWAY_CLASS", "traefik"),
        gateway_namespace=told("MAINLINE_E2E_GATEWAY_NAMESPACE", "kube-system"),
        host=told("MAINLINE_E2E_HOST") or _own_address(),
        build=told("MAINLINE_E2E_BUILD", ""),
        restart=told("MAINLINE_E2E_RESTART", ""),
        settled=float(told("MAINLINE_E2E_SETTLED", "300")),
        times=int(told("MAINLINE_E2E_TIMES", "10")),
        rate=float(told("MAINLINE_E2E_RATE", "50")),
    )


def _own_address() -> str:
    """The address of the interface that leads out; connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
