"""The listening socket: bound before anything is loaded, closed to newcomers before the last answers are given."""

import contextlib
import ctypes
import resource
import socket
import struct
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.net import SocketHolder  # type: ignore[attr-defined]
from granian.server.embed import Server

_BACKLOG = 1024
# Open at once; more wait in the backlog, health probes too. An idle one takes 9 KB, so that these and the largest
# request fit into the 256 MiB of a pod.
_CONNECTIONS = 4096
_OTHER_FILES = 128  # descriptors that are not connections
_SO_ATTACH_FILTER = 26  # linux/socket.h; Python has no name for it
# Classic BPF over the TCP header: load the flags, drop the packet if SYN is set, else let all of it pass.
_DROP_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))


def listen(host: str, port: int) -> socket.socket:
    """A bound socket that is not shared; OSError if the port is taken, which granian's own would not notice."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    listening.setblocking(False)
    return listening


def turn_newcomers_away(listening: socket.socket) -> None:
    """Accept no more connections, keep those that are there.

    Closing the socket would reset callers who are connected but not yet accepted. Where the kernel offers no
    filter this does nothing, and such a caller has to ask again.
    """
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN))
    pointer = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
    with contextlib.suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)


def connections() -> int:
    """How many may be open at once; raises this process's limit of open files as far as it may for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _CONNECTIONS
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(1, allowed - _OTHER_FILES)


class SocketServer(Server):
    """granian in this process, on a socket that is already bound.

    A connection that sends no whole head for `idle_seconds` is closed. HTTP/1 only: granian waits without end for
    the first byte where it has to find out which HTTP a caller speaks.
    """

    def __init__(self, application: Any, listening: socket.socket, idle_seconds: float = 30.0) -> None:
        host, port = listening.getsockname()[:2]
        super().__init__(
            application,
            host,
            port,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=round(idle_seconds * 1000)),
            websockets=False,
            backlog=_BACKLOG,
            backpressure=connections(),  # by default the backlog, beyond which nobody is accepted
            log_enabled=False,
        )
        self._listening = listening

    def _init_shared_socket(self) -> None:
        holder: Any = SocketHolder(self._listening.fileno(), False, _BACKLOG)  # type: ignore[call-arg]
        self._ssp, self._shd = None, holder
