"""One cluster's API server, asked with GET alone; whatever it cannot answer is one clear line."""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mainline.errors import Refusal

_TIMEOUT = 10.0
_BAD_GATEWAY = (500, 502, 503, 504)
_HOME = "~/.kube/config"
_NAME_ONE = "set KUBECONFIG, or write one (on EKS: aws eks update-kubeconfig --name CLUSTER)"


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers with lower-case names, and the undecoded body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Unreached(Refusal):
    """The API server gave no answer at all."""


class Connection:
    """A context of the kubeconfig; nothing is asked before the first `get`."""

    def __init__(self, context: str, client: Any) -> None:
        self.context = context
        self.server = str(client.configuration.host)
        self._client = client

    def items(self, group: str, plural: str, namespace: str, labels: str = "") -> list[dict[str, Any]]:
        """All objects of one kind in a namespace; `group` such as `apps/v1`, or `v1`. Raises Refusal."""
        root = f"/apis/{group}" if "/" in group else f"/api/{group}"
        reply = self.get(f"{root}/namespaces/{namespace}/{plural}", labelSelector=labels)
        if reply.status != 200:
            raise Refusal(self._refused(reply, group, plural, namespace))
        try:
            return list(json.loads(reply.body)["items"])
        except (ValueError, KeyError, TypeError):
            raise Refusal(f"{self._who} answers {plural} with something that is no list of objects") from None

    def get(self, path: str, **query: str) -> Reply:
        """Raises Unreached; every HTTP answer is returned, also a refusal."""
        import urllib3

        asked = [(name, value) for name, value in query.items() if value]
        serialized = self._client.param_serialize(
            "GET",
            path,
            query_params=asked,
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
        )
        try:
            answer = self._client.call_api(*serialized, _request_timeout=_TIMEOUT)
            body = bytes(answer.read())
        except (urllib3.exceptions.HTTPError, OSError) as error:
            reason = " ".join(str(getattr(error, "reason", error)).split())
            raise Unreached(
                f"{self._who} cannot be reached: {reason}; is it up, and is this its address?"
            ) from None
        headers = {str(name).lower(): str(value) for name, value in answer.headers.items()}
        return Reply(answer.status, headers, body)

    @property
    def _who(self) -> str:
        return f"the API server {self.server} of context {self.context!r}"

    def _refused(self, reply: Reply, group: str, plural: str, namespace: str) -> str:
        if reply.status == 401:
            return f"{self._who} does not know you (401); log in again"
        if reply.status == 403:
            return (
                f"{self._who} forbids it: {said(reply)}; ask for a role that may list {plural} in {namespace}"
            )
        if reply.status == 404:
            return f"{self._who} has no {plural} of {group}; install their CRDs, or is it another cluster?"
        return f"{self._who} answers {plural} with HTTP {reply.status}: {said(reply)}"


def said(reply: Reply) -> str:
    """The message of a Status object, or the beginning of the text."""
    try:
        return str(json.loads(reply.body)["message"])
    except (ValueError, KeyError, TypeError):
        return " ".join(reply.body[:200].decode("utf-8", "replace").split())


def could_not_reach(reply: Reply) -> bool:
    """Whether the API server, as a proxy, was not let through or found nobody, and so tells nothing about a pod."""
    return reply.status in (401, 403, *_BAD_GATEWAY)


def connect(env: str, context: str | None) -> Connection:
    """`context`, else the one that is named `mainline-<env>`, else the current one. Raises Refusal."""
    kubernetes, kubeconfig = _library()
    settings = kubernetes.Configuration()
    settings.retries = False  # who asks is a person; one answer after ten seconds, not three
    logging.getLogger("kubernetes").setLevel(logging.CRITICAL)  # it logs what it raises as well
    files = os.environ.get("KUBECONFIG") or os.path.expanduser(_HOME)  # noqa: PTH111 (a list of paths)
    try:
        contexts, current = kubeconfig.list_kube_config_contexts(config_file=files)
        chosen = _chosen(env, context, [one["name"] for one in contexts], (current or {}).get("name"), files)
        kubeconfig.load_kube_config(config_file=files, context=chosen, client_configuration=settings)
    except Refusal:
        raise
    except Exception as error:  # what stands in a kubeconfig may be anything
        raise Refusal(f"no cluster for {env}: {files}: {_first_line(error)}; {_NAME_ONE}") from None
    return Connection(chosen, kubernetes.ApiClient(settings))


def _library() -> tuple[Any, Any]:
    """(client, config) of the package kubernetes, which takes a second to import and which `make up` leaves out."""
    try:
        from kubernetes import client, config
    except ImportError as error:
        raise Refusal(f"a cluster is read with the package kubernetes: {error}; run make test once") from None
    return client, config


def _chosen(env: str, asked: str | None, known: list[str], current: str | None, files: str) -> str:
    if asked is not None and asked not in known:
        raise Refusal(f"{asked!r} is no context of {files}; there are {', '.join(sorted(known)) or 'none'}")
    own = f"mainline-{env}"
    chosen = asked or (own if own in known else current)
    if not chosen:
        raise Refusal(f"no cluster for {env}: {files} names no current context; use --context NAME")
    return chosen


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
