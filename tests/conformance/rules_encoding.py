"""Rules of compressed bodies: only for who offers them."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

from . import sources
from .http1 import Reply
from .probe import JSON, Probe, answered, binary_headers, binary_message, refused
from .rule import Departs, Level, NotApplicable, NotOffered, Rule, expect
from .rules_binary import offered as binary_offered
from .rules_binary import read

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY
_BOMB = 64 << 20


def _zstd(content: bytes) -> bytes:
    return bytes(_zstandard().ZstdCompressor().compress(content))


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError:
        raise NotApplicable("the library zstandard is not installed here") from None
    return zstandard


def _unzstd(content: bytes) -> bytes:
    return bytes(_zstandard().ZstdDecompressor().decompressobj().decompress(content))


_PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": _zstd}
_UNPACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "zstd": _unzstd}


def _ask(probe: Probe, coding: str, content: bytes, headers: list[tuple[str, str]] | None = None) -> Reply:
    return probe.infer(content, [*(headers or [JSON]), ("content-encoding", coding)])


def offered(coding: str, probe: Probe) -> str:
    """415 (or 400 with the words of the protocol) says that it is not; anything else departs."""
    reply = _ask(probe, coding, _PACK[coding](json.dumps(probe.request).encode()))
    if reply.status == 200:
        answered(reply)
        return "read"
    expect(400 <= reply.status < 500, reply.said)
    raise NotOffered(reply.said)


def refused_coding(probe: Probe) -> str:
    reply = _ask(probe, "rot13", json.dumps(probe.request).encode())
    said = refused(reply)
    expect(reply.status == 415, said)
    return said


def identity(probe: Probe) -> str:
    answered(_ask(probe, "identity", json.dumps(probe.request).encode()))
    return "read"


def _corrupt(coding: str, probe: Probe) -> str:
    offered(coding, probe)
    good = _PACK[coding](json.dumps(probe.request).encode())
    for content in (b"not compressed", good[:-5], good[:12] + b"\xff" * 8 + good[20:]):
        reply = _ask(probe, coding, content)
        refused(reply)
        expect(reply.status < 500, reply.said)
    return "not compressed, cut off, damaged"


def _bomb(coding: str, probe: Probe) -> str:
    """64 MiB of spaces in a body of some kilobytes."""
    offered(coding, probe)
    if probe.target.max_body is None or probe.target.max_body >= _BOMB:
        raise NotApplicable("no --max-body below 64 MiB was given")
    reply = _ask(probe, coding, _PACK[coding](b" " * _BOMB))
    said = refused(reply)
    expect(reply.status == 413, said)
    return said


def _binary(coding: str, probe: Probe) -> str:
    """The header length counts bytes of the content as it was before the coding."""
    binary_offered(probe)
    offered(coding, probe)
    body, length = binary_message(probe.anything)
    read(_ask(probe, coding, _PACK[coding](body), binary_headers(length)))
    return "read"


def _answer(coding: str, probe: Probe) -> str:
    body = json.dumps({**probe.request, "id": "long" * 250}).encode()  # small answers are better left alone
    reply = probe.infer(body, [JSON, ("accept-encoding", coding)])
    told = reply.headers.get("content-encoding", "identity")
    if told == "identity":
        raise NotOffered("answers are not compressed")
    expect(told == coding, f"content-encoding {told!r}, asked for {coding}")
    try:
        plain = Reply(reply.status, {}, _UNPACK[coding](reply.body))
    except (OSError, EOFError, zlib.error) as error:
        raise Departs(f"not {coding}: {error}") from None
    answered(plain)
    return f"{len(plain.body)} bytes in {len(reply.body)}"


def unasked(probe: Probe) -> str:
    for fields in ([], [("accept-encoding", "identity")], [("accept-encoding", "gzip;q=0, zstd;q=0")]):
        reply = probe.infer(json.dumps(probe.request).encode(), [JSON, *fields])
        told = reply.headers.get("content-encoding", "identity")
        expect(told == "identity", f"content-encoding {told!r} to {fields or 'no accept-encoding'}")
    return "identity"


_CODING, _ACCEPT = sources.http("8.4 Content-Encoding"), sources.http("12.5.3 Accept-Encoding")


def _rules(coding: str) -> tuple[Rule, ...]:
    return (
        Rule(f"encoding.{coding}", MAY, _CODING, f"a body with content-encoding {coding} is read",
             partial(offered, coding)),
        Rule(f"encoding.{coding}.corrupt", MUST, sources.rest("Inference Response JSON Error Object"),
             f'{coding} that is damaged: refused with {{"error": string}}', partial(_corrupt, coding)),
        Rule(f"encoding.{coding}.bomb", SHOULD, sources.http("17.5 Attacks via Protocol Element Length"),
             f"{coding} that grows beyond the limit of a body is 413", partial(_bomb, coding)),
        Rule(f"encoding.{coding}.binary", MUST, _CODING, f"binary tensors inside {coding}", partial(_binary, coding)),
        Rule(f"encoding.{coding}.answer", MAY, _ACCEPT, f"accept-encoding: {coding} may compress the answer",
             partial(_answer, coding)),
    )  # fmt: skip


RULES = (
    *_rules("gzip"),
    *_rules("zstd"),
    Rule("encoding.identity", SHOULD, _CODING, "content-encoding identity is none", identity),
    Rule("encoding.unknown", SHOULD, _CODING, "an unknown content-encoding is 415", refused_coding),
    Rule("encoding.unasked", MUST, _ACCEPT, "an answer is not compressed for who does not take it", unasked),
)  # fmt: skip
