"""Compressed bodies: both codings, bounded while they are decompressed, and what a caller likes best."""

import gzip
import tracemalloc
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from v2serve.codecs.compression import Coding, choose, compress, decompress
from v2serve.protocol import Refusal

LIMIT = 1 << 16


def _unsized(body: bytes) -> bytes:
    """A zstd frame that does not say how long it is, as a streaming client sends it."""
    writer = zstandard.ZstdCompressor().compressobj()
    return writer.compress(body) + writer.flush()


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "zstd": zstandard.compress,
    "ZSTD ": _unsized,
}


def refused(coding: str, body: bytes, limit: int = LIMIT) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        decompress(coding, body, limit)
    return refusal.value


@pytest.mark.parametrize("coding", COMPRESSIONS)
@pytest.mark.parametrize("size", [0, 1, LIMIT - 1, LIMIT])
def test_a_body_up_to_the_limit_is_taken(coding: str, size: int) -> None:
    body = (b"{}\n" * size)[:size]
    assert decompress(coding, COMPRESSIONS[coding](body), LIMIT) == body


@pytest.mark.parametrize("coding", COMPRESSIONS)
@pytest.mark.parametrize("size", [LIMIT + 1, 64 << 20])
def test_a_body_above_the_limit_is_413_and_never_held(coding: str, size: int) -> None:
    bomb = COMPRESSIONS[coding](bytes(size))
    tracemalloc.start()
    refusal = refused(coding, bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(refusal) == f"the body has more than {LIMIT} bytes once decompressed; send less at once"
    assert refusal.status == 413
    assert peak < 8 * LIMIT


@pytest.mark.parametrize("coding", COMPRESSIONS)
def test_a_truncated_body_is_400(coding: str) -> None:
    whole = COMPRESSIONS[coding](b"some body " * 99)
    for end in range(len(whole)):
        refusal = refused(coding, whole[:end])
        assert "as content-encoding says: " in str(refusal)
        assert refusal.status == 400


@pytest.mark.parametrize("coding", COMPRESSIONS)
def test_bytes_behind_the_end_are_400(coding: str) -> None:
    assert refused(coding, COMPRESSIONS[coding](b"body") * 2).status == 400


def _outcome(coding: str, body: bytes) -> int:
    """The status, or 0 for more than the limit allows."""
    try:
        return 200 if len(decompress(coding, body, LIMIT)) <= LIMIT else 0
    except Refusal as refusal:
        return refusal.status


@given(coding=st.sampled_from(["gzip", "zstd"]), body=st.binary(max_size=64))
def test_any_bytes_are_decompressed_or_refused(coding: str, body: bytes) -> None:
    assert _outcome(coding, body) in (200, 400, 413)


@given(
    coding=st.sampled_from(["gzip", "zstd", "ZSTD "]), place=st.integers(0, 10**6), value=st.integers(0, 255)
)
def test_a_changed_byte_is_refused_or_harmless(coding: str, place: int, value: int) -> None:
    body = bytearray(COMPRESSIONS[coding](b"some body that repeats, some body that repeats"))
    body[place % len(body)] = value
    assert _outcome(coding, bytes(body)) in (200, 400, 413)


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, zstd", "gzip, gzip", "*", "x" * 999])
def test_another_coding_is_415_and_told_what_is_taken(coding: str) -> None:
    refusal = refused(coding, b"")
    assert "is not taken; send one of gzip, zstd, identity" in str(refusal)
    assert refusal.status == 415
    assert refusal.headers == (("accept-encoding", "gzip, zstd, identity"),)


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_identity_is_the_body_as_it_is(coding: str) -> None:
    assert decompress(coding, b"body", 1) == b"body"


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1, zstd;q=0.5", "gzip"),
        ("gzip ; q=0.5 , zstd; q=0.1", "gzip"),
        ("gzip;q=0", None),
        ("*", "zstd"),
        ("zstd;q=0, *", "gzip"),
        ("*;q=0, gzip", "gzip"),
        ("identity, gzip;q=0.5", None),
        ("br", None),
        ("gzip;q=much", None),
        ("gzip;q=nan", None),
        (";;,,q=", None),
    ],
)
def test_the_coding_of_an_answer_is_the_one_the_caller_likes_best(
    accept: str | None, coding: Coding | None
) -> None:
    assert choose(accept) == coding


@given(accept=st.text(max_size=40))
def test_any_accept_encoding_is_understood_or_ignored(accept: str) -> None:
    assert choose(accept) in (None, "gzip", "zstd")


@given(coding=st.sampled_from(["gzip", "zstd"]), body=st.binary(max_size=4096))
def test_what_is_compressed_is_what_was_given(coding: Coding, body: bytes) -> None:
    assert decompress(coding, compress(coding, bytearray(body)), 4096) == body
