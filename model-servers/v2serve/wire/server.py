"""The listening socket and everything that was accepted from it."""

import asyncio
import contextlib
import ctypes
import resource
import select
import socket
import struct
import sys

from v2serve.wire.connection import Newcomer
from v2serve.wire.exchange import Application, WireLimits
from v2serve.wire.http1 import Http1
from v2serve.wire.http2 import Http2
from v2serve.wire.hub import Hub, log

_BACKLOG = 1024
_OTHER_FILES = 128  # descriptors that are not connections
_SO_ATTACH_FILTER = 26  # linux/socket.h; Python has no name for it
# Classic BPF over the TCP header: load the flags, drop the packet if SYN is set, else let all of it pass.
_DROP_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
_UNACKED = 24  # where it is in struct tcp_info
_AT_ONCE = 64  # accepted, or closed to make room, before anything else gets its turn
_TURNS = 100  # of the loop, for transports to say that they are closed; two or three are what it takes
_GLANCE = 0.02  # between two looks at what is left while closing


def bind(host: str, port: int) -> socket.socket:
    """A socket whose port is ours and refuses callers until a server starts on it; OSError if the port is taken."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def _backlog(listening: socket.socket) -> int:
    """How many callers are connected and not yet accepted (linux/tcp.h: tcpi_unacked of a listening socket)."""
    try:
        told = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED + 4)
    except OSError:
        return 0
    return int(struct.unpack_from("I", told, _UNACKED)[0]) if len(told) == _UNACKED + 4 else 0


def connections(wanted: int = WireLimits().connections) -> int:
    """How many of `wanted` may be open at once; raises the limit of open files as far as it may for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= files:
        return wanted
    allowed = files if hard == resource.RLIM_INFINITY else min(files, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(1, allowed - _OTHER_FILES)


class Server:
    """Serves from `start` to `close`, all in the thread of the event loop that runs `start`.

    Where `limits.connections` are open, newcomers wait in the kernel's backlog, and once a period connections are
    closed to let them in, idle ones first, then those that wait for their caller in the middle of something: a health
    probe waits for two periods at most, unless all are busy with what they have asked.
    """

    def __init__(self, application: Application, listening: socket.socket, limits: WireLimits) -> None:
        self._hub = Hub(application, limits)
        self._listening = listening
        self._accepting = False
        self._closed = False
        self._arriving: set[asyncio.Task[object]] = set()
        self._loop: asyncio.AbstractEventLoop
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> int:
        return len(self._hub.members) + len(self._arriving)

    @property
    def held(self) -> int:
        """Bytes that are being received, wait for their answer, or are answers that no caller has taken yet."""
        return self._hub.held

    async def start(self) -> None:
        """Listen from now on; OSError if another took the port meanwhile."""
        self._loop = asyncio.get_running_loop()
        self._listening.setblocking(False)
        self._listening.listen(_BACKLOG)
        self._hub.left = self._left
        self._set_accepting(True)
        self._tick()

    def drain(self) -> None:
        """From now on each answer ends its connection; newcomers are still served."""
        self._hub.draining = True
        self._hub.farewells = sys.maxsize
        for member in tuple(self._hub.members):
            member.draining()

    def turn_newcomers_away(self) -> None:
        """Accept no more connections, keep those that are there.

        Closing the socket would reset callers who are connected but not yet accepted. Where the kernel offers no
        filter this does nothing, and such a caller has to ask again.
        """
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN))
        pointer = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
        with contextlib.suppress(OSError):
            self._listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)

    async def close(self, grace_seconds: float) -> None:
        """Answer what has arrived; what is left after `grace_seconds` is cut off."""
        until = self._loop.time() + grace_seconds
        insisting = until - grace_seconds / 2
        self.turn_newcomers_away()
        self.drain()
        self._accept()
        while self.connections and self._loop.time() < until:
            for member in tuple(self._hub.members):
                member.close_if_idle()
                if self._loop.time() > insisting:
                    member.insist()
            await asyncio.sleep(_GLANCE)
        await self._cut_off()

    async def _cut_off(self) -> None:
        self._closed = True
        self._set_accepting(False)
        self._listening.close()
        if self._sweep is not None:
            self._sweep.cancel()
        for task in self._arriving:
            task.cancel()
        for member in tuple(self._hub.members):
            member.transport.abort()
        for _ in range(_TURNS):
            if self._hub.members:
                await asyncio.sleep(0)

    def _tick(self) -> None:
        self._hub.tick()
        if not self._accepting:
            self._make_room()
        self._sweep = self._loop.call_later(self._hub.period, self._tick)

    def _make_room(self) -> None:
        """Newcomers wait: in place of connections that do nothing, or else of those that are answered next."""
        if self._newcomers_wait() and self.connections >= self._hub.limits.connections:
            wanted = _backlog(self._listening) or _AT_ONCE
            found = self._end_idle(max(wanted, _AT_ONCE))
            if found < wanted:
                found += self._end_stalled(wanted - found)
            if not found and not self._hub.draining:
                self._hub.farewells = _AT_ONCE
        self._set_accepting(True)

    def _end_idle(self, count: int) -> int:
        """The longest idle ones."""
        idle = [member for member in self._hub.members if member.idle or member.lingering]
        idle.sort(key=lambda member: member.since)
        for member in idle[:count]:
            member.close_if_idle()
        return len(idle[:count])

    def _end_stalled(self, count: int) -> int:
        """Those that have waited longest for their caller, and for a period at least."""
        late = self._hub.now - self._hub.period
        waiting = [
            (since, member) for member in self._hub.members if (since := member.stalls_since) is not None
        ]
        stalled = sorted((one for one in waiting if one[0] <= late), key=lambda one: one[0])
        for _, member in stalled[:count]:
            member.make_room()
        return len(stalled[:count])

    def _left(self) -> None:
        if not self._accepting and not self._closed:
            self._set_accepting(True)

    def _newcomers_wait(self) -> bool:
        poll = select.poll()
        poll.register(self._listening, select.POLLIN)
        return bool(poll.poll(0))

    def _set_accepting(self, accepting: bool) -> None:
        if accepting and not self._accepting:
            self._loop.add_reader(self._listening, self._accept)
        elif self._accepting and not accepting:
            self._loop.remove_reader(self._listening)
        self._accepting = accepting

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if self.connections >= self._hub.limits.connections:
                return self._set_accepting(False)
            try:
                arrived, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return None
            except OSError as error:  # no descriptors left: until the next sweep
                log.warning("cannot accept a connection: %s", error)
                return self._set_accepting(False)
            self._take(arrived)
        return None

    def _take(self, arrived: socket.socket) -> None:
        arrived.setblocking(False)
        with contextlib.suppress(OSError):  # gone already
            arrived.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(self._newcomer, arrived)
        )
        self._arriving.add(task)
        task.add_done_callback(self._arrived)

    def _arrived(self, task: "asyncio.Task[object]") -> None:
        self._arriving.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("a connection was lost on arrival: %s", task.exception())

    def _newcomer(self) -> Newcomer:
        return Newcomer(self._hub, Http1, Http2)
