"""Header blocks of HTTP/2: read through HPACK with a memory for repeated ones, written without a dynamic table."""

import re
from typing import NamedTuple

from hpack import Decoder, HPACKError, OversizedHeaderListError

from v2serve.wire.exchange import Headers
from v2serve.wire.frames import Broken, Code, Malformed
from v2serve.wire.heads import header_value
from v2serve.wire.target import LONGEST_TARGET, read_target

_KNOWN = 32 << 10  # bytes of blocks and their headers that are remembered for one connection
_LONGEST_KNOWN = 1024
_CACHED = 512
_PSEUDO = (":method", ":scheme", ":path", ":authority")
_FORBIDDEN = frozenset(("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"))
_NAME = re.compile(rb":?[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"[^\x00\r\n]*")
_STATUS = {200: b"\x88", 204: b"\x89", 206: b"\x8a", 304: b"\x8b", 400: b"\x8c", 404: b"\x8d", 500: b"\x8e"}
_OWN = ("content-length", "date", "connection", "transfer-encoding", "keep-alive", "upgrade")

CONTENT_LENGTH = b"\x0f\x0d"  # a literal that is not indexed, under the name of the static table
DATE = b"\x0f\x12"


class Head(NamedTuple):
    """The head of a request; requests with the same block share `headers`. `length`: as announced, or -1.

    `size` is that of RFC 9113, 10.5.1: 32 bytes more for each header.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    length: int
    size: int
    wrong: tuple[int, str] | None


class BlockReader:
    """While HPACK's dynamic table stays as it is, the same bytes mean the same headers."""

    def __init__(self, head_bytes: int, headers: int) -> None:
        self._decoder = Decoder(max_header_list_size=2 * head_bytes)
        self._head_bytes = head_bytes
        self._headers = headers
        self._known: dict[bytes, Head] = {}
        self._known_size = 0

    def head(self, block: bytes) -> Head:
        """Broken if it is not HPACK, Malformed if it is not the head of a request."""
        head = self._known.get(block)
        if head is None:
            pairs, changed = self._decode(block)
            head = self._build(pairs)
            if not changed and len(block) <= _LONGEST_KNOWN:
                self._remember(block, head)
        return head

    def _remember(self, block: bytes, head: Head) -> None:
        if head.size > _KNOWN // 4:
            return
        self._known_size += len(block) + head.size
        if self._known_size > _KNOWN:
            self._forget()
            self._known_size = len(block) + head.size
        self._known[block] = head

    def _forget(self) -> None:
        self._known.clear()
        self._known_size = 0

    def trailers(self, block: bytes) -> bool:
        """Read for what they do to the table, and forgotten; False if they are broken."""
        pairs, _ = self._decode(block)
        return not any(name.startswith(b":") or not _NAME.fullmatch(name) for name, _ in pairs)

    def _decode(self, block: bytes) -> tuple[list[tuple[bytes, bytes]], bool]:
        maxsize, size, newest = self._state()
        try:
            pairs = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except OversizedHeaderListError:
            raise Broken(Code.ENHANCE_YOUR_CALM, "the head is too large") from None
        except (HPACKError, UnicodeDecodeError) as error:
            raise Broken(Code.COMPRESSION_ERROR, f"not HPACK: {error}") from None
        now = self._state()
        changed = now[:2] != (maxsize, size) or now[2] is not newest
        if changed:
            self._forget()
        return pairs, changed

    def _state(self) -> tuple[int, int, object]:
        """What differs after each change: an entry that is added is a new object at the front."""
        table = self._decoder.header_table
        entries = table.dynamic_entries
        return table.maxsize, len(entries), entries[0] if entries else None

    def _build(self, pairs: list[tuple[bytes, bytes]]) -> Head:
        pseudo, fields = _split(pairs)
        headers = _joined(fields)
        size = sum(len(name) + len(value) + 32 for name, value in pairs)
        wrong = self._too_much(len(pairs), size)
        path = query = ""
        if wrong is None:
            path, query, wrong = _target(pseudo)
        if ":authority" in pseudo:
            headers["host"] = pseudo[":authority"]
        method = pseudo[":method"]
        if method == "CONNECT":
            wrong = 405, "CONNECT is not offered: this is no proxy"
        return Head(method, path, query, headers, _length(headers), size, wrong)

    def _too_much(self, count: int, size: int) -> tuple[int, str] | None:
        if count > self._headers + len(_PSEUDO):
            return 431, f"there are more than {self._headers} headers"
        if size > self._head_bytes:
            return 431, f"the head has more than {self._head_bytes} bytes"
        return None


def _split(pairs: list[tuple[bytes, bytes]]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    pseudo: dict[str, str] = {}
    fields: list[tuple[str, str]] = []
    for raw_name, raw_value in pairs:
        if not _NAME.fullmatch(raw_name) or not _VALUE.fullmatch(raw_value):
            raise Malformed(Code.PROTOCOL_ERROR, "a broken header")
        name, value = raw_name.decode(), raw_value.decode("latin-1")
        if not name.startswith(":"):
            fields.append((name, value))
        elif fields or name in pseudo or name not in _PSEUDO:
            raise Malformed(Code.PROTOCOL_ERROR, f"{name} where it must not be")
        else:
            pseudo[name] = value
    _check_pseudo(pseudo)
    return pseudo, fields


def _check_pseudo(pseudo: dict[str, str]) -> None:
    needed = (":method", ":authority") if pseudo.get(":method") == "CONNECT" else _PSEUDO[:3]
    if not all(pseudo.get(name) for name in needed):
        raise Malformed(Code.PROTOCOL_ERROR, "not all pseudo-headers")


def _joined(fields: list[tuple[str, str]]) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for name, value in fields:
        if name in _FORBIDDEN or (name == "te" and value != "trailers"):
            raise Malformed(Code.PROTOCOL_ERROR, f"{name} belongs to HTTP/1")
        values.setdefault(name, []).append(value.strip(" \t"))
    return {name: ("; " if name == "cookie" else ", ").join(given) for name, given in values.items()}


def _target(pseudo: dict[str, str]) -> tuple[str, str, tuple[int, str] | None]:
    target = pseudo.get(":path", "*").encode("latin-1")
    if len(target) > LONGEST_TARGET:
        return "", "", (414, f"the target is longer than {LONGEST_TARGET} bytes")
    try:
        path, query = read_target(target)
    except ValueError as error:
        return "", "", (400, str(error))
    return path, query, None


def _length(headers: dict[str, str]) -> int:
    given = headers.get("content-length")
    if given is None:
        return -1
    if not (given.isascii() and given.isdigit() and len(given) < 20):
        raise Malformed(Code.PROTOCOL_ERROR, "content-length is no number")
    return int(given)


_blocks: dict[tuple[int, Headers], bytes] = {}


def block_of(status: int, headers: Headers) -> bytes:
    """A block of an answer (or, with status 0, of trailers), prepared once for each status and its headers."""
    block = _blocks.get((status, headers))
    if block is None:
        if len(_blocks) >= _CACHED:
            _blocks.clear()
        block = _blocks[status, headers] = _encode(status, headers)
    return block


def _encode(status: int, headers: Headers) -> bytes:
    start = b""
    if status:
        start = _STATUS.get(status) or b"\x08" + literal(str(status).encode())
    return start + b"".join(
        b"\x00" + literal(name.lower().encode()) + literal(header_value(value).encode("latin-1", "replace"))
        for name, value in headers
        if name not in _OWN
    )


def literal(text: bytes) -> bytes:
    """A string of HPACK without Huffman's code (RFC 7541, 5.2)."""
    size = len(text)
    if size < 127:
        return bytes((size,)) + text
    prefix, rest = bytearray((127,)), size - 127
    while rest >= 128:
        prefix.append(rest % 128 + 128)
        rest //= 128
    prefix.append(rest)
    return bytes(prefix) + text
