"""Ask a V2 server what it serves, and put one request to it; standard library only."""

import http.client
import json
import math
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TIMEOUT = 5.0
# No proxy of the machine may stand between us and a server of ours.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Answer:
    """One V2 answer: its body, the digest in its header, and how long it took (seconds)."""

    body: Mapping[str, Any]
    digest: str
    seconds: float


class Unanswered(Exception):
    """No V2 answer came; says why in one line."""


def served_digest(address: str, model: str, host: str = "") -> str:
    """The digest in the answer header of the model metadata; `host` names whom a shared address is asked for."""
    return _ask(f"{address}/v2/models/{model}", None, host).digest


def infer(address: str, model: str, request: Mapping[str, Any]) -> Answer:
    return _ask(f"{address}/v2/models/{model}/infer", json.dumps(request).encode())


def p95(address: str, model: str, request: Mapping[str, Any], calls: int) -> float:
    """95th percentile of `calls` requests one after the other, in seconds (nearest rank)."""
    taken = sorted(infer(address, model, request).seconds for _ in range(calls))
    return taken[math.ceil(0.95 * calls) - 1]


def _ask(url: str, body: bytes | None, host: str = "") -> Answer:
    headers = {"content-type": "application/json"} | ({"host": host} if host else {})
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310
    begin = time.perf_counter()
    try:
        with _opener.open(request, timeout=_TIMEOUT) as response:
            text, digest = response.read(), response.headers.get("x-model-digest", "")
    except urllib.error.HTTPError as error:
        raise Unanswered(f"HTTP {error.code}: {_reason(error.read())}") from error
    except (OSError, http.client.HTTPException) as error:
        raise Unanswered(str(getattr(error, "reason", error))) from error
    try:
        return Answer(json.loads(text), digest, time.perf_counter() - begin)
    except ValueError:
        raise Unanswered(f"the answer is not JSON: {text[:80].decode('utf-8', 'replace')!r}") from None


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")
