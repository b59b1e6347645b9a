"""Carries out the plan of every application, and publishes what is live."""

from collections.abc import Mapping
from dataclasses import replace

from mainline.local.layout import Layout, stamp
from mainline.local.manifests import Application
from mainline.local.objects import Objects, Routes, read_objects, write_objects
from mainline.local.plan import (
    LiveServer,
    Publish,
    Published,
    Start,
    State,
    Stop,
    all_ready,
    endpoints,
    plan,
    surplus,
)
from mainline.local.server import Server
from mainline.local.servers import Servers


class Sync:
    """`desired` is what Git names; `objects` what the gateway was last given."""

    def __init__(self, layout: Layout, servers: Servers) -> None:
        self.layout = layout
        self.servers = servers
        self._stamp = stamp(layout.objects)
        self.objects: Objects = read_objects(layout.objects)
        self.desired: Mapping[str, Application] = {}
        self._owners: Mapping[str, str] = {}
        self._groups: Mapping[str, list[Server]] = {}
        self._grouped = -1

    def aim(self, desired: Mapping[str, Application]) -> None:
        """From the next step on, this is what has to run."""
        self.desired = desired
        self._grouped = -1
        self._owners = {service: name for name, app in desired.items() for service in app.services}

    def step(self, generation: int | None, in_flight: Mapping[str, int] | None, now: float) -> None:
        """One pass over all applications; `generation` is the one that the gateway reported."""
        self.publish({}, now)
        applied = generation == self.objects.generation
        for name in self.names():
            self._step(name, applied, in_flight, now)
        self.publish({}, now)

    def names(self) -> list[str]:
        """Applications that Git names, and those of which something is left."""
        return sorted({*self.desired, *self._group(), *self.objects.routes})

    def _group(self) -> Mapping[str, list[Server]]:
        """Servers by the application that names their service now, or else by the one that started them."""
        if self._grouped != self.servers.changes:
            groups: dict[str, list[Server]] = {}
            for server in self.servers:
                groups.setdefault(self._owners.get(server.service, server.application), []).append(server)
            self._groups, self._grouped = groups, self.servers.changes
        return self._groups

    def application(self, name: str) -> Application:
        return self.desired.get(name, Application(name))

    def live(self, name: str, in_flight: Mapping[str, int] | None, now: float) -> list[LiveServer]:
        """The planner's view of an application's servers."""
        return [server.live(in_flight, now) for server in self._group().get(name, ())]

    def settled(self, name: str, applied: bool, now: float) -> bool:
        """Everything is as Git says: ready, routed, pruned."""
        desired, servers = self.application(name), self.live(name, None, now)
        return self.routed(name) and applied and all_ready(desired, servers) and not surplus(desired, servers)

    def routed(self, name: str) -> bool:
        return dict(self.objects.routes.get(name, {})) == dict(self.application(name).routes)

    def _step(self, name: str, applied: bool, in_flight: Mapping[str, int] | None, now: float) -> None:
        desired, servers = self.application(name), self.live(name, in_flight if applied else None, now)
        published = Published(self.objects.routes.get(name, {}), applied)
        if applied and all_ready(desired, servers) and dict(published.routes) == dict(desired.routes):
            self._start_draining(surplus(desired, servers), now)
        for action in plan(desired, servers, published, now):
            self._do(name, action, now)

    def _start_draining(self, servers: list[LiveServer], now: float) -> None:
        for server in servers:
            known = self.servers.by_name[server.name]
            known.draining_since = known.draining_since or now

    def _do(self, name: str, action: Start | Publish | Stop, now: float) -> None:
        match action:
            case Start(service, replica):
                self.servers.start(name, self.desired[name].services[service], replica)
            case Publish(routes):
                self.publish({name: routes}, now)
            case Stop(server):
                self.servers.stop(server)

    def publish(self, changed: Mapping[str, Routes], now: float) -> None:
        """Write objects.json where routes or endpoints differ from what it says."""
        routes = {name: of for name, of in {**self.objects.routes, **changed}.items() if of}
        services = self._endpoints(now)
        # Somebody else's version, or none, is put right as well.
        foreign = stamp(self.layout.objects) != self._stamp
        if foreign or not self.objects.same(routes, services):
            generation = self.objects.generation + 1
            self.objects = replace(self.objects, generation=generation, routes=routes, services=services)
            write_objects(self.layout.objects, self.objects)
            self._stamp = stamp(self.layout.objects)

    def _endpoints(self, now: float) -> dict[str, tuple[str, ...]]:
        urls: dict[str, tuple[str, ...]] = {}
        for name in self.names():
            chosen = endpoints(self.application(name), self.live(name, None, now))
            urls |= {
                f"{service}-predictor": tuple(self.servers.by_name[server].url for server in servers)
                for service, servers in chosen.items()
            }
        return urls

    def waiting(self, now: float) -> bool:
        """Is there something that only the gateway's word or a probe can finish?"""
        busy = any(server.state in (State.STARTING, State.STOPPING) for server in self.servers)
        return busy or any(not self.settled(name, True, now) for name in self.names())
