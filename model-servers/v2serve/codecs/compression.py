"""Compressed bodies, both ways: gzip (RFC 1952) and zstd (RFC 8878), bounded while they are decompressed."""

import zlib
from functools import lru_cache
from typing import Literal

import zstandard

from v2serve.protocol import Refusal, shown

Coding = Literal["gzip", "zstd"]

SMALLEST = 1 << 10  # bytes; a shorter answer is not worth the time
CODINGS: tuple[Coding, ...] = ("zstd", "gzip")  # the first is chosen where a caller likes both

_GZIP = 31  # zlib's window bits for 32 KiB and gzip's head and checksum
_GZIP_LEVEL, _ZSTD_LEVEL = 1, 1  # an answer waits for this
_WINDOW = 8 << 20  # what RFC 8878 asks each decoder to support, and a bound of memory
_ALIASES: dict[str, Coding] = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}


def decompress(coding: str, body: bytes, limit: int) -> bytes:
    """The body behind a content-encoding; 415 for another coding, 413 above the limit, 400 if it is broken."""
    name = coding.strip().lower()
    if name in ("", "identity"):
        return body
    known = _ALIASES.get(name)
    if known is None:
        taken = "one of gzip, zstd, identity"
        raise Refusal(415, f"content-encoding {shown(coding)} is not taken; send {taken}", _ACCEPTED)
    return _gunzip(body, limit) if known == "gzip" else _unzstd(body, limit)


_ACCEPTED = (("accept-encoding", "gzip, zstd, identity"),)  # RFC 9110, 15.5.16


def _gunzip(body: bytes, limit: int) -> bytes:
    unzip = zlib.decompressobj(_GZIP)
    try:
        plain = unzip.decompress(body, limit + 1)
    except zlib.error as error:
        raise _broken("gzip", str(error)) from None
    if len(plain) > limit:
        raise _too_large(limit)
    if not unzip.eof:
        raise _broken("gzip", "it is truncated")
    if unzip.unused_data:
        raise _broken("gzip", "bytes follow its end; send one gzip member")
    return plain


def _unzstd(body: bytes, limit: int) -> bytes:
    try:
        claimed = zstandard.frame_content_size(body)
    except zstandard.ZstdError as error:
        raise _broken("zstd", str(error)) from None
    if claimed > limit:
        raise _too_large(limit)
    unzip = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    try:
        if claimed >= 0:
            return unzip.decompress(body, allow_extra_data=False)  # into a buffer of the claimed size
        return _unsized(unzip, body, limit)
    except zstandard.ZstdError as error:
        raise _broken("zstd", str(error)) from None


def _unsized(unzip: zstandard.ZstdDecompressor, body: bytes, limit: int) -> bytes:
    """A frame that does not say its size, read twice: one way is bounded, the other tells how it ended."""
    if len(unzip.stream_reader(body).read(limit + 1)) > limit:
        raise _too_large(limit)
    frame = unzip.decompressobj()
    plain = frame.decompress(body)
    if not frame.eof:
        raise _broken("zstd", "it is truncated")
    if frame.unused_data:
        raise _broken("zstd", "bytes follow its end; send one zstd frame")
    return plain


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"the body has more than {limit} bytes once decompressed; send less at once")


def _broken(coding: Coding, reason: str) -> Refusal:
    return Refusal(400, f"the body is not {coding}, as content-encoding says: {reason}")


def choose(accept: str | None) -> Coding | None:
    """The coding of an answer that `accept-encoding` likes best; None: as it is."""
    return _chosen(accept) if accept else None


@lru_cache(maxsize=256)
def _chosen(accept: str) -> Coding | None:
    weights = dict(map(_weighed, accept.lower().split(",")))
    offered = {coding: weights.get(coding, weights.get("*", 0.0)) for coding in CODINGS}
    offered["gzip"] = max(offered["gzip"], weights.get("x-gzip", 0.0))
    best = max(CODINGS, key=offered.__getitem__)
    least = weights.get("identity", 0.0)  # a caller may like it better
    return best if offered[best] > 0 and offered[best] >= least else None


def _weighed(item: str) -> tuple[str, float]:
    """ "gzip;q=0.5" is ("gzip", 0.5); a weight that is none is 0."""
    coding, *parameters = (part.strip() for part in item.split(";"))
    weight = next((value[2:] for value in parameters if value.startswith("q=")), "1")
    try:
        return coding, min(max(float(weight), 0.0), 1.0)
    except ValueError:
        return coding, 0.0


def compress(coding: Coding, body: bytes | bytearray) -> bytes:
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(body)
    return zlib.compress(body, _GZIP_LEVEL, _GZIP)
