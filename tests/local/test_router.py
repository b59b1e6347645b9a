"""Matching and turns, against a plain reading of Gateway API."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainline.local.paths import normal, origin_form
from mainline.local.router import Share, Table, Turn
from mainline.local.routes import Backend, Match, Route, Rule

ELEMENTS = st.sampled_from(["a", "b", "ab"])
PATHS = st.lists(ELEMENTS, max_size=3).map(lambda parts: "/" + "/".join(parts))
HEADERS = st.dictionaries(st.sampled_from(["x-a", "x-b"]), st.sampled_from(["1", "2"]), max_size=2)
METHODS = st.sampled_from([None, "GET", "POST"])


@st.composite
def matches(draw: st.DrawFn) -> Match:
    headers = tuple(sorted(draw(HEADERS).items()))
    return Match(draw(PATHS), draw(st.booleans()), draw(METHODS), headers)


@st.composite
def tables(draw: st.DrawFn) -> list[Route]:
    names = draw(st.lists(st.sampled_from("pqrs"), unique=True, min_size=1))
    rules = st.lists(st.lists(matches(), min_size=1, max_size=2).map(tuple), min_size=1, max_size=3)
    return [
        Route(
            "models",
            name,
            tuple(Rule(found, (Backend(f"{name}{i}"),)) for i, found in enumerate(draw(rules))),
        )
        for name in names
    ]


def fits(match: Match, method: str, path: str, headers: dict[str, str]) -> bool:
    parts, wanted = path.strip("/").split("/"), match.path.strip("/").split("/")
    on_path = path == match.path if match.exact else match.path == "/" or parts[: len(wanted)] == wanted
    return on_path and match.method in (None, method) and set(match.headers) <= set(headers.items())


def expected(routes: list[Route], method: str, path: str, headers: dict[str, str]) -> str | None:
    """Exact before the longest prefix, then a method, then more headers, then by name and order of rules."""
    found = [
        (
            (not match.exact, -len(match.path), match.method is None, -len(match.headers), route.name, index),
            rule,
        )
        for route in routes
        for index, rule in enumerate(route.rules)
        for match in rule.matches
        if fits(match, method, path, headers)
    ]
    return min(found, key=lambda item: item[0])[1].backends[0].service if found else None


@given(tables(), st.sampled_from(["GET", "POST"]), PATHS, HEADERS)
def test_the_most_specific_rule_wins_as_gateway_api_says(
    routes: list[Route], method: str, path: str, headers: dict[str, str]
) -> None:
    target = Table(routes).find(method, path, headers)
    assert (target.turn.next() if target else None) == expected(routes, method, path, headers)


def test_a_prefix_ends_where_an_element_ends() -> None:
    table = Table([Route("models", "iris", (Rule((Match("/v2/models/iris"),), (Backend("s"),)),))])
    assert table.find("GET", "/v2/models/iris", {})
    assert table.find("GET", "/v2/models/iris/", {})
    assert table.find("GET", "/v2/models/iris/infer", {})
    assert table.find("GET", "/v2/models/iris2", {}) is None
    assert table.find("GET", "/v2/models", {}) is None


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/v2/models/iri%73", True),
        ("/%76%32/models/iris/infer", True),
        ("/v2/models/iris%2Finfer", False),
        ("/v2%2fmodels/iris", False),
        ("/v2/models/iri%2573", False),
        ("/v2/models/iri%zz", False),
        ("/v2/models/%ff", False),
    ],
)
def test_paths_are_compared_decoded_and_by_element(path: str, found: bool) -> None:
    table = Table([Route("models", "iris", (Rule((Match("/v2/models/iris"),), (Backend("s"),)),))])
    assert bool(table.find("GET", path, {})) is found


def test_the_path_of_a_route_may_be_escaped_too() -> None:
    table = Table([Route("models", "iris", (Rule((Match("/v2/a%2fb%20c", exact=True),), (Backend("s"),)),))])
    assert table.find("GET", "/v2/%61%2Fb%20c", {})
    assert table.find("GET", "/v2/a/b%20c", {}) is None


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/v2?u=http://h/x", "/v2?u=http://h/x"),
        ("http://h/v2/models/iris?x=1", "/v2/models/iris?x=1"),
        ("HTTPS://h:1", "/"),
        ("http://h?x=1", "/?x=1"),
        ("*", "*"),
        ("h:443", "h:443"),
    ],
)
def test_an_absolute_target_is_its_path(target: str, path: str) -> None:
    assert origin_form(target) == path


def test_only_escapes_that_nothing_needs_are_sent_on_decoded() -> None:
    assert normal("/v2/iri%73%2d%7E/%2F%20%25%C3%a9") == "/v2/iris-~/%2F%20%25%C3%a9"


WEIGHTS = st.lists(st.integers(0, 50), min_size=1, max_size=5).filter(any)


@given(WEIGHTS, st.integers(1, 3))
def test_shares_are_exact_over_every_round(weights: list[int], rounds: int) -> None:
    turn = Turn(tuple(Backend(f"s{i}", weight) for i, weight in enumerate(weights)))
    for _ in range(rounds):
        taken = Counter(turn.next() for _ in range(sum(weights)))
        assert taken == Counter({f"s{i}": weight for i, weight in enumerate(weights) if weight})


@given(WEIGHTS)
def test_shares_are_never_more_than_one_round_trip_apart_on_the_way(weights: list[int]) -> None:
    turn = Turn(tuple(Backend(f"s{i}", weight) for i, weight in enumerate(weights)))
    taken: Counter[str] = Counter()
    for asked in range(1, sum(weights) + 1):
        taken[turn.next()] += 1
        due = [asked * weight / sum(weights) for weight in weights]
        assert all(abs(taken[f"s{i}"] - due[i]) <= len(weights) for i in range(len(weights)))


@given(st.integers(0, 100))
def test_a_percentage_is_exact_over_a_hundred(percent: int) -> None:
    share = Share(float(percent))
    assert sum(share.next() for _ in range(100)) == percent


def test_a_rule_that_did_not_change_keeps_its_turns_over_a_publication() -> None:
    kept = Route("models", "a", (Rule((Match("/a"),), (Backend("x", 1), Backend("y", 1))),))
    first = Table([kept])
    target = first.find("GET", "/a", {})
    assert target
    before = target.turn.next()
    second = Table([kept, Route("models", "b", (Rule((Match("/b"),), (Backend("z"),)),))], first).find(
        "GET", "/a", {}
    )
    assert second
    assert {before, second.turn.next()} == {"x", "y"}
