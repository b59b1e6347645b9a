"""Malformed requests of every kind harm v2serve not, and the fuzzer sees who they harm."""

import os
from collections.abc import Sequence

import pytest

from tests.conformance.faulty_server import serving
from tests.conformance.fuzz.campaign import campaign
from tests.conformance.fuzz.shots import KINDS, maker, seeds
from tests.conformance.http1 import Address
from tests.v2serve.servers import Running

SEED = int(os.environ.get("FUZZ_SEED", "1"))
_GROWTH_KIB = 16 << 10


@pytest.mark.parametrize("kind", KINDS)
def test_3000_malformed_requests_are_answered_or_closed_and_harm_nobody(kind: str, v2serve: Running) -> None:
    address = Address("127.0.0.1", v2serve.port)
    report = campaign(address, "iris", [kind], SEED, 0, 3000, v2serve.process.pid)
    assert report.finds == []
    assert report.requests >= 3000
    assert report.grown_kib is not None
    assert report.grown_kib < _GROWTH_KIB


def test_requests_of_one_seed_are_mostly_refused_and_some_accepted(v2serve: Running) -> None:
    """A fuzzer whose every request is refused at the door looks at the door only."""
    report = campaign(
        Address("127.0.0.1", v2serve.port), "iris", ["json", "binary", "grpc"], SEED, 0, 640, None
    )
    assert report.answers["json"]["400"] > report.answers["json"]["200"] > 0
    assert report.answers["binary"]["400"] > report.answers["binary"]["200"] > 0
    assert report.answers["grpc"]["grpc 3"] > report.answers["grpc"]["grpc 0"] > 0


def test_an_answer_of_500_is_found_with_what_makes_it_again() -> None:
    with serving("500") as port:
        report = campaign(Address("127.0.0.1", port), "m", ["json"], 3, 0, 64, None)
        assert report.finds
        find = report.finds[0]
        again = campaign(Address("127.0.0.1", port), "m", ["json"], find.seed, find.number, 1, None)
    assert find.seen == "status 500"
    assert [(f.seen, f.message) for f in again.finds] == [(find.seen, find.message)]


def test_a_server_that_is_gone_is_found() -> None:
    with serving() as port:
        pass
    report = campaign(Address("127.0.0.1", port), "m", ["json"], 1, 0, 64, None)
    assert "the server does not answer any more" in [find.seen for find in report.finds]


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_is_the_same_whenever_it_is_made(kind: str) -> None:
    def made(seed: int, numbers: Sequence[int]) -> list[bytes]:
        make = maker(kind, "/v2/models/m/infer", seed)
        return [make(number) for number in numbers]

    assert made(5, range(50)) == made(5, range(50))
    assert made(5, [49]) == made(5, range(50))[49:]
    assert made(5, range(50)) != made(6, range(50))
    assert len(set(made(5, range(50)))) > 25


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_seeds(kind: str) -> None:
    assert all(seeds(kind))
