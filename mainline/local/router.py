"""Which rule of which route a request belongs to, and which backend's turn it is: no I/O."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mainline.local.paths import decoded
from mainline.local.routes import Backend, Match, Route, Rule


@dataclass(slots=True)
class Turn:
    """Smooth weighted round robin: over any window of `sum(weights)` turns each backend gets exactly its weight."""

    backends: tuple[Backend, ...]
    _credit: list[int] = field(init=False)
    _total: int = field(init=False)

    def __post_init__(self) -> None:
        self._credit = [0] * len(self.backends)
        self._total = sum(backend.weight for backend in self.backends)

    def next(self) -> str:
        best = -1
        for index, backend in enumerate(self.backends):
            self._credit[index] += backend.weight
            if backend.weight and (best < 0 or self._credit[index] > self._credit[best]):
                best = index
        self._credit[best] -= self._total
        return self.backends[best].service


@dataclass(slots=True)
class Share:
    """Says yes to exactly `percent` of a hundred calls, evenly spread."""

    percent: float
    _credit: float = 0.0

    def next(self) -> bool:
        self._credit += self.percent
        if self._credit >= 100:
            self._credit -= 100
            return True
        return False


@dataclass(slots=True)
class Target:
    """A rule of a live route with its turns."""

    route: str
    rule: Rule
    turn: Turn
    shares: tuple[Share, ...]

    def mirrors(self) -> list[str]:
        """The services that get a copy of this request."""
        pairs = zip(self.rule.mirrors, self.shares, strict=True)
        return [mirror.service for mirror, share in pairs if share.next()]


@dataclass(frozen=True, slots=True)
class _Entry:
    match: Match
    order: tuple[str, str, int]
    target: Target


class Table:
    """Live routes, looked up by the elements of a path: the cost does not grow with the number of models."""

    def __init__(self, routes: Iterable[Route] = (), before: "Table | None" = None) -> None:
        self._exact: dict[str, list[_Entry]] = {}
        self._prefix: dict[str, list[_Entry]] = {}
        # A rule that did not change keeps its turns, so that a publication in between does not skew the shares.
        known = {(target.route, target.rule): target for target in before.targets()} if before else {}
        for route in routes:
            for index, rule in enumerate(route.rules):
                name = f"{route.namespace}/{route.name}"
                self._add(route, index, rule, known.get((name, rule)) or _target(name, rule))
        for entries in (*self._exact.values(), *self._prefix.values()):
            entries.sort(key=_precedence)

    def targets(self) -> Iterator[Target]:
        """Each rule's target, once."""
        listed = (*self._exact.values(), *self._prefix.values())
        return iter({id(entry.target): entry.target for entries in listed for entry in entries}.values())

    def _add(self, route: Route, index: int, rule: Rule, target: Target) -> None:
        for match in rule.matches:
            table = self._exact if match.exact else self._prefix
            table.setdefault(decoded(match.path), []).append(
                _Entry(match, (route.namespace, route.name, index), target)
            )

    def find(self, method: str, path: str, headers: Mapping[str, str]) -> Target | None:
        """The most specific rule, as Gateway API orders them; `headers` must find names in any case."""
        for entry in self._candidates(decoded(path)):
            if entry.match.method not in (None, method):
                continue
            if all(headers.get(name) == value for name, value in entry.match.headers):
                return entry.target
        return None

    def _candidates(self, path: str) -> Iterator[_Entry]:
        yield from self._exact.get(path, ())
        for prefix in _prefixes(path):
            yield from self._prefix.get(prefix, ())


def _target(name: str, rule: Rule) -> Target:
    return Target(name, rule, Turn(rule.backends), tuple(Share(mirror.percent) for mirror in rule.mirrors))


def _precedence(entry: _Entry) -> tuple[bool, int, tuple[str, str, int]]:
    """With a method before without, more headers before fewer, then by name, then the first rule."""
    return entry.match.method is None, -len(entry.match.headers), entry.order


def _prefixes(path: str) -> Iterator[str]:
    """/a/b, /a, / for /a/b and for /a/b/: a prefix ends where an element ends."""
    while path and path != "/":
        if not path.endswith("/"):
            yield path
        path = path[: path.rfind("/")]
    yield "/"
