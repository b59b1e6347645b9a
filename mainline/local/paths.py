"""The path that a request asks for: without a proxy's scheme and host, compared decoded and by element (no I/O)."""

import re
from urllib.parse import unquote

_AUTHORITY = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_UNRESERVED = re.compile(r"%(2[DE]|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])", re.IGNORECASE)


def origin_form(target: str) -> str:
    """Path and query of a request target, also of an absolute one (RFC 9112, 3.2.2)."""
    if target.startswith("/"):
        return target
    absolute = _AUTHORITY.match(target)
    if absolute is None:
        return target
    rest = target[absolute.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


def normal(path: str) -> str:
    """Without escapes of characters that need none (RFC 3986, 6.2.2.2); everything else as it came."""
    if "%" not in path:
        return path
    return _UNRESERVED.sub(lambda found: chr(int(found[1], 16)), path)


def decoded(path: str) -> str:
    """Equal for paths whose decoded elements are equal: an escaped slash ends no element."""
    if "%" not in path:
        return path
    elements = (unquote(element, errors="surrogateescape") for element in path.split("/"))
    return "/".join(element.replace("%", "%25").replace("/", "%2F") for element in elements)
