"""The kubelet of one machine: server processes, their probes, restarts and ends."""

import asyncio
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from shutil import rmtree

from mainline.local import records
from mainline.local.layout import Layout, LocalError
from mainline.local.manifests import Service
from mainline.local.plan import State
from mainline.local.probe import HOST, ProbeError, get_json
from mainline.local.server import Server, adopted_server, new_server, tells_digest

_START_LIMIT = 120.0
_STOP_LIMIT = 8.0
_PROBE_WHILE_STARTING, _PROBE_WHILE_READY, _PROBE_TIMEOUT = 0.02, 1.0, 2.0
_MISSES_OF_A_HUNG_SERVER = 4
# Below the range that outgoing connections get their ports from, so that none of them takes a server's first.
_PORTS = range(20000, 32000)


class Servers:
    """All server processes of one root, by name."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.by_name: dict[str, Server] = {}
        self.changes = 0
        """Counts the servers that came and went."""
        self._probes: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Server]:
        return iter(tuple(self.by_name.values()))

    async def adopt(self) -> None:
        """Take over what an agent before this one started; records of dead processes go."""
        for record in records.read_records(self.layout):
            server = adopted_server(record)
            if server and record.alive():
                self.by_name[server.name] = server
                self.changes += 1
            elif record.kind == records.SERVER:
                records.remove_record(self.layout, record.name)
        await asyncio.gather(*(self._probe(server) for server in self))

    def start(self, application: str, service: Service, name: str | None) -> None:
        """A new replica, or the failed one of this name again, on a port of its own."""
        server = self.by_name.get(name or "") or new_server(
            self._free_name(service.name), application, service
        )
        server.restarts += name is not None
        server.change(State.STARTING)
        self.changes += server.name not in self.by_name
        self.by_name[server.name] = server
        port = _free_port()
        try:
            pid, started = records.spawn(
                _command(service), self.layout.log(server.name), self._environment(server.name, service, port)
            )
        except LocalError as error:
            server.fails(str(error), hopeless=True)
            return
        server.record = records.Record(server.name, records.SERVER, pid, started, port, server.details())
        try:
            records.write_record(self.layout, server.record)
        except OSError:
            # A process without a record would be nobody's after this one.
            server.record.signal(signal.SIGKILL)
            raise

    def stop(self, name: str) -> None:
        server = self.by_name[name]
        if server.record:
            server.record.signal(signal.SIGTERM)
        server.change(State.STOPPING)

    def retry(self) -> None:
        """A new commit is a new chance: nobody waits for a backoff of the time before it."""
        for server in self:
            if server.state is State.FAILED:
                server.failures, server.retry_at, server.broken = 0, 0.0, False

    def hear_of_answers(self, answers: Mapping[str, int]) -> None:
        """Counts by URL: a server that answers requests is not hung, however late it answers a probe."""
        for server in self:
            count = answers.get(server.url, 0)
            if count > server.answers:
                server.misses = 0
            server.answers = count

    def observe(self, now: float) -> None:
        """See who ended or took too long, and ask those who are due how they are."""
        for server in self:
            if server.state is State.STOPPING:
                self._see_the_end(server, now)
            elif server.state is not State.FAILED:
                self._see_the_life(server, now)

    def _see_the_end(self, server: Server, now: float) -> None:
        if server.record and server.record.alive():
            if now - server.begun > _STOP_LIMIT:
                server.record.signal(signal.SIGKILL)
            return
        del self.by_name[server.name]
        self.changes += 1
        records.remove_record(self.layout, server.name)
        rmtree(self.layout.model(server.name), ignore_errors=True)

    def _see_the_life(self, server: Server, now: float) -> None:
        if server.record is None or not server.record.alive():
            self._see_the_death(server)
        elif server.state is State.STARTING and now - server.begun > _START_LIMIT:
            self._give_up(server, f"not ready {_START_LIMIT:g} s after its start: {self._last_words(server)}")
        elif now >= server.probe_at:
            server.probe_at = float("inf")
            task = asyncio.create_task(self._probe(server))
            self._probes.add(task)
            task.add_done_callback(self._probes.discard)

    def _see_the_death(self, server: Server) -> None:
        code = records.exit_code(server.record.pid) if server.record else None
        refused = server.state is State.STARTING and code is not None and code > 0
        how = "ended" if code is None else f"exit code {code}" if code >= 0 else f"ended by signal {-code}"
        words = self._last_words(server) if refused else ""
        server.fails(words or f"{server.name}: {how}", hopeless=refused)

    def _give_up(self, server: Server, reason: str) -> None:
        if server.record:
            server.record.signal(signal.SIGKILL)
        server.fails(reason, hopeless=server.state is State.STARTING)

    async def _probe(self, server: Server) -> None:
        asked = server.record
        try:
            await self._ask(server, asked)
        finally:
            pause = _PROBE_WHILE_READY if server.state is State.READY else _PROBE_WHILE_STARTING
            server.probe_at = time.monotonic() + pause

    async def _ask(self, server: Server, asked: records.Record | None) -> None:
        try:
            status, _ = await get_json(server.port, "/v2/health/ready", _PROBE_TIMEOUT)
            if server.record is asked:
                await self._hear(server, status)
        except ProbeError as error:
            if server.record is asked:
                self._miss(server, error)

    async def _hear(self, server: Server, status: int) -> None:
        server.misses = 0
        if server.state is State.READY and status != 200:
            server.change(State.STARTING)
        elif server.state is State.STARTING and status == 200:
            _, metadata = await get_json(server.port, f"/v2/models/{server.model}", _PROBE_TIMEOUT)
            if server.state is not State.STARTING:
                return  # told to stop in the meantime
            if tells_digest(metadata, server.digest):
                server.becomes_ready()
            else:
                self._give_up(
                    server, f"{server.name}: serves other bytes than {server.digest}, which Git names"
                )

    def _miss(self, server: Server, error: ProbeError) -> None:
        if server.state is not State.READY:
            return  # nobody listens yet; the limit of a start is what ends that
        server.misses += 1
        if server.misses >= _MISSES_OF_A_HUNG_SERVER:
            self._give_up(server, f"{server.name}: hung ({error})")

    def _last_words(self, server: Server) -> str:
        return records.last_line(self.layout.log(server.name))

    def _free_name(self, service: str) -> str:
        names = (service if slot == 0 else f"{service}.{slot}" for slot in range(len(self.by_name) + 1))
        return next(name for name in names if name not in self.by_name)

    def _environment(self, name: str, service: Service, port: int) -> dict[str, str]:
        """The pod's environment, and what a cluster's network and volumes do instead of it."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("V2SERVE_")}
        place = {
            "V2SERVE_MODEL_DIR": str(self.layout.model(name)),
            "V2SERVE_STORE": self.layout.store.resolve().as_uri(),
            "V2SERVE_HOST": HOST,
            "V2SERVE_PORT": str(port),
        }
        return {**inherited, **dict(service.environment), **place}


def _command(service: Service) -> list[str]:
    """The runtime's command; `python` is the interpreter that runs this, since there is no image here."""
    program, *rest = service.command
    return [sys.executable if program in ("python", "python3") else program, *rest]


def _free_port() -> int:
    for port in random.sample(_PORTS, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise LocalError(f"no free port on {HOST} from {_PORTS.start} to {_PORTS.stop - 1}; end what holds them")
