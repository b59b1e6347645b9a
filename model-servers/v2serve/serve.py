"""Start a server: fetch, verify, load, warm up, listen; and drain it when it is told to stop."""

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import sys
import time

import uvloop

from v2serve.app import App
from v2serve.artifact import ArtifactError, verify
from v2serve.codecs.limits import TensorLimits
from v2serve.endpoint import Endpoint
from v2serve.fetch import fetch
from v2serve.grpc import GrpcService
from v2serve.lanes import LaneLimits
from v2serve.model import Runtime
from v2serve.observe.metrics import Release
from v2serve.observe.observer import Observer
from v2serve.processors import threads_of_cpu_limit
from v2serve.released import ModelRelease, Models, load, refuse_twins
from v2serve.rest import RestInference
from v2serve.settings import ModelSettings, Settings
from v2serve.wire.exchange import WireLimits
from v2serve.wire.server import Server, bind, connections

_LAST_REQUESTS_SECONDS = 0.15  # for callers who are connected and about to ask
# An upload that takes longer than this after the grace is given up.
_STUCK_SECONDS = 3.0
# Of a model that is at its last calls; a pod is killed 30 s after its grace.
_LONGEST_SECONDS = 25.0
_GLANCE_SECONDS = 0.05


class StartError(RuntimeError):
    """The server cannot start; the message is one line."""


class _Wire:
    """The wire's counters for the observer, which is there before the wire is."""

    def __init__(self) -> None:
        self.server: Server | None = None

    @property
    def connections(self) -> int:
        return self.server.connections if self.server else 0

    @property
    def held_bytes(self) -> int:
        return self.server.held if self.server else 0


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; raises StartError, ArtifactError or FetchError before listening."""
    begin = time.perf_counter()
    bound = _bound(settings.host, settings.port)
    wire = _Wire()
    observer = Observer(os.environ, settings.access_log, wire)
    app = application(settings, observer)
    wire.server = Server(app, bound, _wire_limits(settings))
    gc.collect()
    gc.freeze()  # what is loaded stays; the collector need not visit it again
    _say(settings, time.perf_counter() - begin)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, app, observer, wire.server))


def application(settings: Settings, observer: Observer) -> App:
    """What answers, whichever way it is asked: fetched, verified, loaded and warm. Raises as `serve` does."""
    return _app(settings, _endpoints(settings, observer), observer)


def _endpoints(settings: Settings, observer: Observer) -> Models[Endpoint]:
    releases = [ModelRelease(m.name, m.version, m.digest, m.run, m.dir) for m in settings.models]
    refuse_twins(releases)
    limits = LaneLimits(settings.concurrency, settings.queue, settings.max_batch, settings.deadline_seconds)
    runtime = Runtime(settings.threads or threads_of_cpu_limit(), settings.providers)
    endpoints = []
    for told, release in zip(settings.models, releases, strict=True):
        try:
            _bring(told, settings.store)
            served = load(release, limits, runtime)
        except ArtifactError as error:
            raise StartError(f"model {told.name}: {error}") from error
        named = Release(release.name, release.version, release.digest, release.run)
        watched = observer.watch(named, served.contract, release.folder, served.lane)
        endpoints.append(Endpoint(served, watched, observer))
    return Models(endpoints)


def _bring(model: ModelSettings, store: str | None) -> None:
    """The bytes that Git names are in the model folder when this returns."""
    if model.storage_uri:
        fetch(model.storage_uri, model.dir, model.digest, store)
    else:
        verify(model.dir, model.digest)


def _app(settings: Settings, endpoints: Models[Endpoint], observer: Observer) -> App:
    tensors = TensorLimits(elements=settings.max_elements)
    rest = RestInference(tensors, settings.max_body_bytes)
    app: App
    grpc = GrpcService(endpoints, lambda: app.ready(), settings.max_body_bytes, tensors)
    app = App(endpoints, rest, grpc, observer)
    return app


def _wire_limits(settings: Settings) -> WireLimits:
    return WireLimits(
        body_bytes=settings.max_body_bytes,
        held_bytes=settings.max_held_bytes,
        read_seconds=settings.read_seconds,
        connections=connections(),
    )


def _bound(host: str, port: int) -> socket.socket:
    """The port, ours before anything is loaded, open once all is: a probe of TCP does not say ready too early."""
    try:
        return bind(host, port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        wrong = "V2SERVE_PORT" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "V2SERVE_HOST"
        raise StartError(f"{wrong}: {host} port {port}: {reason}; choose another") from error


async def _run(settings: Settings, app: App, observer: Observer, server: Server) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    observer.start(loop)
    await server.start()
    await stop.wait()
    await _drain(settings, app, server)
    observer.close()


async def _drain(settings: Settings, app: App, server: Server) -> None:
    """Not ready at once; answer what comes during the grace; then only what has come already."""
    app.drain()
    server.drain()
    await asyncio.sleep(settings.drain_seconds)
    server.turn_newcomers_away()
    await asyncio.sleep(_LAST_REQUESTS_SECONDS)
    until = time.monotonic() + min(settings.deadline_seconds, _LONGEST_SECONDS)
    while app.busy and time.monotonic() < until:
        await asyncio.sleep(_GLANCE_SECONDS)
    await server.close(_STUCK_SECONDS)


def _say(settings: Settings, seconds: float) -> None:
    with contextlib.suppress(OSError):  # who cannot hear it is served nevertheless
        _said(settings, seconds)


def _said(settings: Settings, seconds: float) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    for model in settings.models:
        release = f"{model.name} {model.version or 'without a version'} {model.digest}"
        sys.stderr.write(f"v2serve: {release} on {host}:{settings.port}, started in {seconds:.2f} s\n")
    sys.stderr.flush()
