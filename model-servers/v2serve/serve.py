"""Start a server: fetch, verify, load, warm up, listen; and drain it when it is told to stop."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from v2serve.artifact import ArtifactError, verify
from v2serve.body import Bodies
from v2serve.fetch import fetch
from v2serve.inference import Inference
from v2serve.listener import SocketServer, listen, turn_newcomers_away
from v2serve.metadata import Identity
from v2serve.metrics import Metrics
from v2serve.model import OnnxModel
from v2serve.rest import App
from v2serve.settings import ModelSettings, Settings
from v2serve.warmup import warm_up

# Above these an inference would hold up the health checks of the same thread, so it gets a thread of its own.
_INLINE_SECONDS = 0.005
_INLINE_BYTES = 64 << 10
_POLL_SECONDS = 0.01
_LAST_REQUESTS_SECONDS = 0.15  # for callers who are connected and about to ask
_LAST_ANSWERS_SECONDS = 0.05
# An upload that takes longer than this after the grace is given up.
_STUCK_SECONDS = 3.0
_CLOSE_SECONDS = 1.0


class StartError(RuntimeError):
    """The server cannot start; the message is one line."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; raises StartError, ArtifactError or FetchError before listening."""
    begin = time.perf_counter()
    listening = _listen(settings.host, settings.port)
    app, metrics = _load(settings)
    gc.collect()
    gc.freeze()  # what is loaded stays; the collector need not visit it again
    _say(settings, time.perf_counter() - begin)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(settings, app, metrics, listening))


def _load(settings: Settings) -> tuple[App, Metrics]:
    told = settings.models[0]
    try:
        _bytes(settings, told)
        model = OnnxModel(told.dir, settings.threads or 1)
        inference = Inference(model, told.name, told.version)
        seconds = warm_up(inference, told.dir)
    except ArtifactError as error:
        raise StartError(f"model {told.name}: {error}") from error
    release = told.name, told.version, told.digest, told.run
    metrics = Metrics(*release)
    bodies = Bodies(settings.max_body_bytes, settings.read_seconds)
    inline_bytes = _INLINE_BYTES if seconds <= _INLINE_SECONDS else 0
    thread = ThreadPoolExecutor(1, "inference")
    return App(Identity(*release, model.contract), inference, metrics, bodies, thread, inline_bytes), metrics


def _bytes(settings: Settings, model: ModelSettings) -> None:
    """The bytes that Git names are in the model folder when this returns."""
    if model.storage_uri:
        fetch(model.storage_uri, model.dir, model.digest, settings.store)
    else:
        verify(model.dir, model.digest)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise StartError(f"V2SERVE_PORT: {host} port {port}: {reason}; choose another") from error


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed: it wakes up once for many requests, which saves a seventh of the time."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(settings: Settings, app: App, metrics: Metrics, listening: socket.socket) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = SocketServer(app, listening, settings.read_seconds)
    serving = asyncio.create_task(server.serve())
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not serving.done():
        await _drain(settings.drain_seconds, app, metrics, listening)
        server.stop()  # type: ignore[no-untyped-call]
    with contextlib.suppress(TimeoutError):  # an upload that never ends is cut off
        await asyncio.wait_for(serving, _CLOSE_SECONDS)


async def _drain(grace: float, app: App, metrics: Metrics, listening: socket.socket) -> None:
    """Not ready at once; answer what comes during the grace; then only what has come already."""
    app.drain()
    await asyncio.sleep(grace)
    turn_newcomers_away(listening)
    await asyncio.sleep(_LAST_REQUESTS_SECONDS)
    deadline = time.monotonic() + _STUCK_SECONDS
    while metrics.in_flight and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
    await asyncio.sleep(_LAST_ANSWERS_SECONDS)


def _say(settings: Settings, seconds: float) -> None:
    model = settings.models[0]
    release = f"{model.name} {model.version or 'without a version'} {model.digest}"
    sys.stderr.write(f"v2serve: {release} on {settings.host}:{settings.port}, started in {seconds:.2f} s\n")
    sys.stderr.flush()
