"""The target of a request (RFC 9112, 3.2; RFC 3986) becomes a decoded path and a query."""

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

LONGEST_TARGET = 8192

_ABSOLUTE = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@lru_cache(maxsize=1024)
def read_target(target: bytes) -> tuple[str, str]:
    """Path and query; ValueError says what is wrong with the target."""
    absolute = _ABSOLUTE.match(target)
    local = target[absolute.end() :] if absolute else target
    if absolute and not local.startswith(b"/"):
        local = b"/" + local
    if local == b"*":
        return "*", ""
    if not local.startswith(b"/") or b"#" in local:
        raise ValueError(f"the target {_shown(target)} is not a path such as /v2/models")
    path, _, query = local.partition(b"?")
    return _decoded(path), query.decode("latin-1")


def _decoded(path: bytes) -> str:
    if b"%" not in path and path.isascii():
        return path.decode()
    if _BROKEN_ESCAPE.search(path):
        raise ValueError(f"the path {_shown(path)} has a % without two hexadecimal digits; write %25 for a %")
    try:
        decoded = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise ValueError(f"the path {_shown(path)} is not UTF-8 once its % are decoded") from None
    if _CONTROL.search(decoded):
        raise ValueError(f"the path {_shown(path)} has control characters; leave them out")
    return decoded


def _shown(target: bytes) -> str:
    return repr(target[:80].decode("latin-1"))
