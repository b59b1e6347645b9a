"""A connection of whichever HTTP: what the sweep asks of it, how it ends, and which HTTP it speaks."""

import asyncio
import fcntl
import struct
import termios
from asyncio import transports
from typing import cast

from v2serve.wire.hub import DISCARD, Hub

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Connection(asyncio.Protocol):
    """`since` is when the present state began, on the clock of the hub."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.since = hub.now
        self.paused = False  # the caller does not read what was written
        self.transport: asyncio.Transport
        self.lost = False
        self.lingering = False
        self._dropped = 0
        self._unsent = 0
        self.unsent_since = hub.now
        self._counted = 0  # of what is unsent, in `hub.held`

    @property
    def idle(self) -> bool:
        """Nothing has been asked that is not answered."""
        raise NotImplementedError

    @property
    def stalls_since(self) -> float | None:
        """Since when nothing goes on but waiting for the caller, in the middle of something."""
        raise NotImplementedError

    def overdue(self) -> None:
        """The present state has lasted longer than it may."""
        raise NotImplementedError

    def cut_short(self) -> None:
        """Say, if that is possible, that the caller was too slow while others waited for its place."""

    def make_room(self) -> None:
        """End a connection that stalls."""
        if not self.lingering and not self.paused:
            self.cut_short()
        if self.paused:
            self.transport.abort()
        else:
            self.transport.close()

    def take_arrived(self) -> None:
        """Look at the bytes for which the hub was asked to give a turn."""

    def draining(self) -> None:
        """The server is about to stop: tell the caller, as soon as it can do no harm."""

    def insist(self) -> None:
        """Tell the caller now."""

    def connection_made(self, transport: transports.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.hub.members.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self.lost = True
        self._count(0)
        self.hub.members.discard(self)
        self.hub.left()

    def pause_writing(self) -> None:
        self.paused = True
        self._count(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self.paused = False
        self._count(0)

    def _count(self, unsent: int) -> None:
        """What the socket did not take is held."""
        self.hub.held += unsent - self._counted
        self._counted = unsent

    def sweep(self, now: float) -> None:
        """Once a period: end what takes too long."""
        if self._stuck(now):
            self.transport.abort()
        elif self.lingering:
            if now - self.since > self.hub.linger:
                self.transport.abort()
        elif now - self.since > self.hub.patience:
            self.overdue()

    def _stuck(self, now: float) -> bool:
        """The caller has read nothing of its answers for too long."""
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent < self._unsent or self._unsent == 0:
            self.unsent_since = now
        self._unsent = unsent
        if not self.lost:
            self._count(unsent)
        return now - self.unsent_since > self.hub.patience

    def linger(self) -> None:
        """Say no more, and read past what comes: closing with bytes unread would reset what was written last."""
        if self.lost or self.lingering or self.transport.is_closing():
            return
        self.lingering = True
        self.since = self.hub.now
        self.transport.write_eof()
        self.transport.resume_reading()

    def dropped(self, data: bytes) -> None:
        self._dropped += len(data)
        if self._dropped > DISCARD:
            self.transport.abort()

    def close_if_idle(self) -> None:
        """Close, unless something was asked, be it still unread in the kernel."""
        if (self.lingering or self.idle) and not self._unread():
            self.transport.close()

    def _unread(self) -> bool:
        channel = self.transport.get_extra_info("socket")
        try:
            waiting = fcntl.ioctl(channel.fileno(), termios.FIONREAD, b"\0\0\0\0")
        except OSError:  # closed meanwhile
            return False
        return bool(struct.unpack("i", waiting)[0])


class Newcomer(Connection):
    """A caller whose first bytes say which HTTP it speaks; then another protocol takes the connection over."""

    def __init__(self, hub: Hub, http1: type[Connection], http2: type[Connection]) -> None:
        super().__init__(hub)
        self._first = b""
        self._http1 = http1
        self._http2 = http2

    @property
    def idle(self) -> bool:
        return True

    @property
    def stalls_since(self) -> float | None:
        return None

    def overdue(self) -> None:
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        first = self._first + data
        if len(first) < len(PREFACE) and PREFACE.startswith(first):
            self._first = first
            return
        kind = self._http2 if first.startswith(PREFACE) else self._http1
        successor = kind(self.hub)
        self.hub.members.discard(self)
        self.transport.set_protocol(successor)
        successor.connection_made(self.transport)
        successor.data_received(first)
