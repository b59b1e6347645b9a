"""What the wire itself holds against a request whose head it has read."""

import re

from v2serve.wire.exchange import Request
from v2serve.wire.target import read_target

Objection = tuple[int, str]

_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?", re.ASCII)
_HOSTS: set[str] = set()
_REMEMBERED = 256


def objection(request: Request, target: bytes) -> Objection | None:
    """Status and message of a head that no application should see; sets path and query of the others."""
    http, fields = request.http, request.headers
    if http != "1.1" and http != "1.0":
        return 505, f"HTTP/{http} is not spoken in this way; use 1.1, or 2 with its own preface"
    if request.method == "CONNECT":
        return 405, "CONNECT is not offered: this is no proxy"
    host = fields.get("host", "" if http == "1.0" else None)
    wrong = None if host in _HOSTS else _host(host)
    if wrong is not None:
        return wrong
    if "transfer-encoding" in fields or "expect" in fields:
        wrong = _extras(request)
        if wrong is not None:
            return wrong
    try:
        request.path, request.query = read_target(target)
    except ValueError as error:
        return 400, str(error)
    return None


def _host(host: str | None) -> Objection | None:
    """RFC 9112, 3.2; hosts that were good are remembered, up to a number."""
    if host is None or "," in host:
        return 400, "there must be one host header"
    if not _HOST.fullmatch(host):
        return 400, f"host {host[:80]!r} is not a name or an address, and a port if need be"
    if len(_HOSTS) < _REMEMBERED:
        _HOSTS.add(host)
    return None


def _extras(request: Request) -> Objection | None:
    coding = request.headers.get("transfer-encoding", "chunked")
    if coding.strip().lower() != "chunked":
        return 501, f"transfer-encoding {coding[:80]!r} is not understood; use chunked"
    if request.http == "1.0" and "transfer-encoding" in request.headers:
        return 400, "HTTP/1.0 has no transfer-encoding; send content-length"
    expected = request.headers.get("expect", "100-continue")
    if expected.strip().lower() != "100-continue":
        return 417, f"expect {expected[:80]!r} is not understood; only 100-continue is"
    return None


def too_large(length: int | None, limit: int) -> str:
    given = "more" if length is None else f"{length} bytes"
    return f"the body has {given}; V2SERVE_MAX_BODY_BYTES allows {limit}"
