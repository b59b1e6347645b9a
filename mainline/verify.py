"""mainline verify: for each model, the digests that Git, the rendered tree, the store and the live servers name."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from infra.declarations.release import ReleasedVersion
from mainline.errors import Refusal
from mainline.live import Unanswered, served_digest
from mainline.local.environment import Embedded
from mainline.places import Places
from mainline.promote import store_url
from mainline.status import roles, service_name
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
    rendered = _rendered_digests(where.rendered(head))
    store = Store(store_url(places, where.environment.store))
    ports = _ports(places, where)
    found = []
    for (name, of), release in sorted(where.declared(head).releases.items()):
        if of == env and model in (None, name):
            found += [
                _verdict(name, role, shown, rendered, store, ports) for role, shown, _ in roles(release)
            ]
    if model is not None and not found:
        raise Refusal(f"{model} has no release in {env}; promote it first")
    return found + _strangers(ports, {service_name(v.model, v.digest) for v in found}, model)


def _verdict(
    model: str,
    role: str,
    shown: ReleasedVersion,
    rendered: Mapping[str, str],
    store: Store,
    ports: dict[str, int],
) -> Verdict:
    name = service_name(model, shown.digest)
    in_tree = rendered.get(name)
    tree = "ok" if in_tree == shown.digest else f"names {in_tree}" if in_tree else f"{name} is not rendered"
    stored = store.problem(model, shown.digest) or "ok"
    return Verdict(
        model, role, shown.version, shown.digest, tree, stored, _live(model, shown.digest, ports.get(name))
    )


def _live(model: str, digest: str, port: int | None) -> str:
    if port is None:
        return "nothing runs"
    try:
        found = served_digest(f"http://127.0.0.1:{port}", model)
    except Unanswered as error:
        return f"no answer: {error}"
    return "ok" if found == digest else f"serves {found}"


def _rendered_digests(files: Mapping[str, str]) -> dict[str, str]:
    """InferenceService -> the digest in its environment."""
    found = {}
    for path, text in files.items():
        if "-inferenceservice-" not in path:
            continue
        document = yaml.load(text, Loader=yaml.CSafeLoader)
        env = {
            entry["name"]: entry.get("value", "") for entry in document["spec"]["predictor"]["model"]["env"]
        }
        found[document["metadata"]["name"]] = env.get("V2SERVE_MODEL_DIGEST", "")
    return found


def _ports(places: Places, where: Truth) -> dict[str, int]:
    if not where.embedded:
        raise Refusal(
            f"{where.environment.name} is a cluster, and verify asks the servers of the embedded environment only"
        )
    said = Embedded(places.root, where.environment.name).status() or {}
    services = [
        service
        for app in said.get("applications", {}).values()
        for service in app.get("services", {}).items()
    ]
    return {name: int(service["port"]) for name, service in services if service.get("port")}


def _strangers(ports: Mapping[str, int], released: set[str], model: str | None) -> list[Verdict]:
    """What runs although no release names it."""
    names = [] if model else sorted(set(ports) - released)
    return [
        Verdict(name, "stranger", 0, "", "ok", "ok", f"runs on port {ports[name]}, but no release names it")
        for name in names
    ]
