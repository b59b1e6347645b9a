"""mainline verify: for each model, the digests that Git, the rendered tree, the store and the live servers name."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from infra.declarations.release import ReleasedVersion
from infra.manifests.names import service
from infra.render import Difference, compare, render
from mainline.cluster.servers import servers
from mainline.errors import Refusal
from mainline.local.environment import Embedded
from mainline.places import Places
from mainline.promote import store_of
from mainline.servers import LocalServers, Servers, routed
from mainline.status import roles
from mainline.store import Store
from mainline.truth import Truth, truth


@dataclass(frozen=True, slots=True)
class Verdict:
    """One released version: each place is "ok" or says in words what differs there; `note`: what was not asked."""

    model: str
    role: str
    version: int
    digest: str
    rendered: str
    store: str
    live: str
    note: str = ""

    @property
    def agrees(self) -> bool:
        return self.rendered == self.store == self.live == "ok"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "agrees": self.agrees}


def verify(
    places: Places, env: str, model: str | None, context: str | None = None, gateway: str | None = None
) -> list[Verdict]:
    """Compare every released version of an environment; nothing is trusted that can be read again.

    `context` and `gateway` say which cluster is asked, and at which address its clients call.
    """
    if gateway and not gateway.startswith(("http://", "https://")):
        raise Refusal(f"--gateway {gateway}: is no address of a gateway; write http://HOST:PORT")
    where = truth(places, env)
    head = where.head()
    repository, files = where.declared(head), where.rendered(head)
    differences = compare(render(repository, env), files)
    store = store_of(places, where.environment)
    live = _servers_of(places, where, context, gateway)
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
    return found + ([] if model else _strangers(live.running(), names))


def _tree(env: str, model: str, differences: Sequence[Difference]) -> str:
    """Whether the committed manifests of a model are what its declarations mean."""
    mine = [d for d in differences if d.path.startswith(f"clusters/{env}/models/{model}/")]
    if not mine:
        return "ok"
    more = f" and {len(mine) - 1} more" if len(mine) > 1 else ""
    return f"{mine[0].path.rpartition('/')[2]} is {mine[0].kind}{more}"


def _verdict(
    model: str,
    role: str,
    shown: ReleasedVersion,
    tree: str,
    store: Store,
    live: Servers,
    allowed: set[str],
) -> Verdict:
    stored = store.problem(model, shown.digest) or "ok"
    said = live.ask(model, service(model, shown), shown.digest)
    served = routed(model, live, allowed) if said.live == "ok" and role == "stable" else said.live
    return Verdict(model, role, shown.version, shown.digest, tree, stored, served, said.note)


def _servers_of(places: Places, where: Truth, context: str | None, gateway: str | None) -> Servers:
    if not where.embedded:
        return servers(where.environment, context, gateway)
    embedded = Embedded(places.root, where.environment.name)
    applications = (embedded.status() or {}).get("applications", {}).values()
    services = [service for app in applications for service in app.get("services", {}).items()]
    ports = {name: int(of["port"]) for name, of in services if of.get("port")}
    return LocalServers(ports, gateway or embedded.address)


def _strangers(running: Mapping[str, str], released: set[str]) -> list[Verdict]:
    """What runs although no release names it."""
    return [
        Verdict(name, "stranger", 0, "", "ok", "ok", f"runs {running[name]}, but no release names it")
        for name in sorted(set(running) - released)
    ]
