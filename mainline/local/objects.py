"""objects.json: the live routes and endpoints, written by the agent alone and read by the gateway."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mainline.local.layout import mapping_at, write_json
from mainline.local.routes import Route, from_json, to_json

Routes = Mapping[str, Route]


@dataclass(frozen=True, slots=True)
class Objects:
    """`routes` by application and name, `services` as base URLs by Service name; `generation` counts the writes."""

    generation: int = 0
    routes: Mapping[str, Routes] = field(default_factory=dict)
    services: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def live_routes(self) -> list[Route]:
        return [route for routes in self.routes.values() for route in routes.values()]

    def same(self, routes: Mapping[str, Routes], services: Mapping[str, tuple[str, ...]]) -> bool:
        return self.routes == routes and self.services == services


def write_objects(path: Path, objects: Objects) -> None:
    routes = {app: {name: to_json(route) for name, route in of.items()} for app, of in objects.routes.items()}
    write_json(path, {"generation": objects.generation, "routes": routes, "services": objects.services})


def read_objects(path: Path) -> Objects:
    """The live objects; none where the file is missing or was not written by us."""
    value = mapping_at(path)
    if value is None:
        return Objects()
    try:
        return _objects(value)
    except (KeyError, TypeError, AttributeError, ValueError):
        return Objects()


def _objects(value: Mapping[str, Any]) -> Objects:
    routes = {
        app: {name: from_json(route) for name, route in of.items()} for app, of in value["routes"].items()
    }
    services = {name: tuple(str(url) for url in urls) for name, urls in value["services"].items()}
    return Objects(int(value["generation"]), routes, services)
