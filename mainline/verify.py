"""mainline verify: for each model, the digests that Git, the rendered tree, the store and the live servers name."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from infra.declarations.release import ReleasedVersion
from infra.manifests.names import service
from infra.render import Difference, compare, render
from mainline.errors import Refusal
from mainline.live import Unanswered, served_digest
from mainline.local.environment import Embedded
from mainline.places import Places
from mainline.promote import store_url
from mainline.status import roles
from mainline.store import Store
from mainline.truth import Truth, truth


@dataclass(frozen=True, slots=True)
class Verdict:
    """One released version: each place is "ok" or says in words what differs there."""

    model: str
    role: str
    version: int
    digest: str
    rendered: str
    store: str
    live: str

    @property
    def agrees(self) -> bool:
        return self.rendered == self.store == self.live == "ok"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "agrees": self.agrees}


def verify(places: Places, env: str, model: str | None) -> list[Verdict]:
    """Compare every released version of an environment; nothing is trusted that can be read again."""
    where = truth(places, env)
    head = where.head()
    repository, files = where.declared(head), where.rendered(head)
    differences = compare(render(repository, env), files)
    store = Store(store_url(places, where.environment.store))
    live = _live_of(places, where)
    found, names = [], set()
    for (name, of), release in sorted(repository.releases.items()):
        if of == env and model in (None, name):
            tree = _tree(env, name, differences)
            names |= {service(name, shown) for _, shown, _ in roles(release)}
            allowed = {shown.digest for _, shown, _ in roles(release)}
            found += [
                _verdict(name, role, shown, tree, store, live, allowed) for role, shown, _ in roles(release)
            ]
    if model is not None and not found:
        raise Refusal(f"{model} has no release in {env}; promote it first")
    return found + ([] if model else _strangers(live.ports, names))


@dataclass(frozen=True, slots=True)
class _Live:
    """Where the servers of an environment listen, by InferenceService, and its gateway."""

    ports: Mapping[str, int]
    gateway: str | None


def _tree(env: str, model: str, differences: Sequence[Difference]) -> str:
    """Whether the committed manifests of a model are what its declarations mean."""
    mine = [d for d in differences if d.path.startswith(f"clusters/{env}/models/{model}/")]
    if not mine:
        return "ok"
    more = f" and {len(mine) - 1} more" if len(mine) > 1 else ""
    return f"{mine[0].path.rpartition('/')[2]} is {mine[0].kind}{more}"


def _verdict(
    model: str, role: str, shown: ReleasedVersion, tree: str, store: Store, live: _Live, allowed: set[str]
) -> Verdict:
    stored = store.problem(model, shown.digest) or "ok"
    served = _live(model, shown.digest, live.ports.get(service(model, shown)))
    if served == "ok" and role == "stable":
        served = _routed(model, live.gateway, allowed)
    return Verdict(model, role, shown.version, shown.digest, tree, stored, served)


def _routed(model: str, gateway: str | None, allowed: set[str]) -> str:
    """Whether a client's call comes to a version that Git names."""
    if gateway is None:
        return "the gateway is off"
    try:
        found = served_digest(gateway, model)
    except Unanswered as error:
        return f"no answer at the gateway: {error}"
    return "ok" if found in allowed else f"the gateway answers from {found}"


def _live(model: str, digest: str, port: int | None) -> str:
    if port is None:
        return "nothing runs"
    try:
        found = served_digest(f"http://127.0.0.1:{port}", model)
    except Unanswered as error:
        return f"no answer: {error}"
    return "ok" if found == digest else f"serves {found}"


def _live_of(places: Places, where: Truth) -> _Live:
    if not where.embedded:
        name = where.environment.name
        raise Refusal(f"{name} is a cluster, and verify asks the servers of the embedded environment only")
    embedded = Embedded(places.root, where.environment.name)
    applications = (embedded.status() or {}).get("applications", {}).values()
    services = [service for app in applications for service in app.get("services", {}).items()]
    return _Live({name: int(of["port"]) for name, of in services if of.get("port")}, embedded.address)


def _strangers(ports: Mapping[str, int], released: set[str]) -> list[Verdict]:
    """What runs although no release names it."""
    return [
        Verdict(name, "stranger", 0, "", "ok", "ok", f"runs on port {ports[name]}, but no release names it")
        for name in sorted(set(ports) - released)
    ]
