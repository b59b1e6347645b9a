"""HTTP/2 (RFC 9113) for callers who know that it is spoken here: frames in, requests to the application."""

from asyncio import transports
from collections.abc import Callable
from time import perf_counter

from v2serve.wire import frames
from v2serve.wire.blocks import BlockReader
from v2serve.wire.connection import PREFACE, Connection
from v2serve.wire.frames import HEAD, HEAD_SIZE, LARGEST_WINDOW, Broken, Code, Malformed, Setting
from v2serve.wire.hub import FREE, Hub, log
from v2serve.wire.streams import Streams

_MAX_FRAME = 16 << 10  # of a caller; what one unfinished frame can make us keep
_OUR_FRAME = 64 << 10  # larger ones would keep other streams waiting
_SPARE = 64 << 10  # of a stream's window, beyond the largest body
# Frames that cost us and bring nobody anything (resets, pings, settings, empty ones), above the number of answers
# given lately: a caller who sends more has other things in mind (CVE-2023-44487 and its like).
_NUISANCES = 1000


class Http2(Connection):
    """One connection: its frames in order, its streams in whichever order their answers are there."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        limits = hub.limits
        self._stream_window = min(LARGEST_WINDOW, max(frames.DEFAULT_WINDOW, limits.body_bytes + _SPARE))
        self._window = min(LARGEST_WINDOW, 4 * self._stream_window)
        self._room = self._window  # what is left of it
        self._streams = Streams(hub, self, self._emptied, self._refill)
        self._reader = BlockReader(limits.head_bytes, limits.headers)
        self._rest = b""
        self._part_since = hub.now
        self._block: tuple[int, int, bytearray] | None = None
        self._block_held = 0
        self._greeted = False
        self._leaving = False
        self._told = False
        self._nuisances = 0
        self._kinds: dict[int, Callable[[int, int, bytes], None]] = {
            frames.DATA: self._data,
            frames.HEADERS: self._headers,
            frames.PRIORITY: self._priority,
            frames.RST_STREAM: self._reset,
            frames.SETTINGS: self._settings,
            frames.PUSH_PROMISE: self._push,
            frames.PING: self._ping,
            frames.GOAWAY: self._goaway,
            frames.WINDOW_UPDATE: self._window_update,
            frames.CONTINUATION: self._continuation,
        }

    @property
    def idle(self) -> bool:
        return not self._streams.open and self._block is None

    def connection_made(self, transport: transports.BaseTransport) -> None:
        super().connection_made(transport)
        limits = self.hub.limits
        outlet = self._streams.outlet
        outlet.transport = self.transport
        values = {
            Setting.MAX_CONCURRENT_STREAMS: limits.streams,
            Setting.INITIAL_WINDOW_SIZE: self._stream_window,
            Setting.MAX_FRAME_SIZE: _MAX_FRAME,
            Setting.MAX_HEADER_LIST_SIZE: limits.head_bytes,
        }
        more = frames.window_update(0, self._window - frames.DEFAULT_WINDOW)
        outlet.send(frames.settings(values) + more)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._streams.outlet.over = True
        self._streams.leave()
        self._hold_block(0)

    @property
    def stalls_since(self) -> float | None:
        if self.paused:
            return self.unsent_since
        return self._part_since if self._block is not None else self._streams.stalls_since()

    def cut_short(self) -> None:
        self._break(Code.NO_ERROR, "this connection is slow, and others wait for it")

    def data_received(self, data: bytes) -> None:
        if self.lingering:
            return self.dropped(data)
        self.since = self.hub.now
        if not self._greeted and data.startswith(PREFACE):
            data = data[len(PREFACE) :]
        try:
            self._read(self._rest + data if self._rest else data)
        except Broken as broken:
            self._break(broken.code, str(broken))
        except Exception:
            log.exception("the wire failed")
            self._break(Code.INTERNAL_ERROR, "internal error")
        self._streams.outlet.flush()
        return None

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        super().pause_writing()
        self._streams.outlet.paused = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._streams.outlet.paused = False
        self._streams.pump()
        if not self.paused and not self.lost:
            self.transport.resume_reading()
        self._streams.outlet.flush()

    def draining(self) -> None:
        """GOAWAY once nothing is open: there are callers, such as Python's h2, who give up all at its sight.

        Connections that come while the server drains are served to its end: told to go, grpcio would come back at once.
        """
        self._leaving = True
        self._emptied()

    def insist(self) -> None:
        """Finish what is open and what is on its way; the caller should go elsewhere for more."""
        if not self._told:
            self._told = True
            self._streams.outlet.send(frames.goaway(LARGEST_WINDOW, Code.NO_ERROR, "draining"))
            self._streams.outlet.flush()

    def _emptied(self) -> None:
        if self._leaving and self.idle:
            self.insist()

    def overdue(self) -> None:
        if self.idle:
            self._break(Code.NO_ERROR, "idle")

    def sweep(self, now: float) -> None:
        super().sweep(now)
        if self.lost or self.lingering:
            return
        self._nuisances //= 2
        self._streams.answered //= 2
        if (self._rest or self._block) and now - self._part_since > self.hub.patience:
            self._break(Code.ENHANCE_YOUR_CALM, "a frame or a head did not arrive in time")
        else:
            self._streams.sweep(now)
        self._streams.outlet.flush()

    def _read(self, data: bytes) -> None:
        at, size = 0, len(data)
        while size - at >= HEAD_SIZE:
            word, flags, stream = HEAD.unpack_from(data, at)
            end = at + HEAD_SIZE + (word >> 8)
            if word >> 8 > _MAX_FRAME:
                raise Broken(Code.FRAME_SIZE_ERROR, f"a frame above {_MAX_FRAME} bytes")
            if end > size:
                break
            self._frame(word & 0xFF, flags, stream & LARGEST_WINDOW, data[at + HEAD_SIZE : end])
            at = end
        if at or not self._rest:
            self._part_since = self.hub.now if self._block is None else self._part_since
        self._rest = data[at:]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._block is not None and kind != frames.CONTINUATION:
            raise Broken(Code.PROTOCOL_ERROR, "a head that is not continued")
        if not self._greeted:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise Broken(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._greeted = True
        handle = self._kinds.get(kind)
        if handle is None:
            return self._nuisance()
        try:
            handle(flags, stream, payload)
        except Malformed as error:
            self._nuisance()
            self._streams.reset(stream, error.code)
        return None

    def _data(self, flags: int, stream: int, payload: bytes) -> None:
        self._room -= len(payload)  # never below zero: a frame is smaller than half of the window
        self._refill()
        self._must_be_used(stream)
        body = frames.unpadded(flags, payload)
        if not body and not flags & frames.END_STREAM:
            self._nuisance()
        self._streams.data(stream, body, len(payload), bool(flags & frames.END_STREAM))

    def _refill(self) -> None:
        """Let the caller send on, but for as much as it has asked and is not answered.

        Bodies that are not whole do not count: the rest of them could not come.
        """
        if self._room < self._window // 2:
            increment = self._window - self._room - self._streams.whole
            if increment >= _SPARE:
                self._streams.outlet.send(frames.window_update(0, increment))
                self._room += increment

    def _headers(self, flags: int, stream: int, payload: bytes) -> None:
        if not stream & 1:
            raise Broken(Code.PROTOCOL_ERROR, "a stream that a caller cannot open")
        payload = frames.without_priority(flags, stream, frames.unpadded(flags, payload))
        if flags & frames.END_HEADERS:
            return self._head(flags, stream, payload)
        self._part_since = self.hub.now
        self._block = (stream, flags, bytearray(payload))
        self._hold_block(len(payload))
        return None

    def _hold_block(self, size: int) -> None:
        """Bytes of a head that is not complete."""
        self.hub.held += size - self._block_held
        self._block_held = size
        if size > FREE and self.hub.crowded(None, 0, size):
            raise Broken(Code.ENHANCE_YOUR_CALM, "the server is full")

    def _continuation(self, flags: int, stream: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != stream:
            raise Broken(Code.PROTOCOL_ERROR, "CONTINUATION of nothing")
        _, first, block = self._block
        block += payload
        if len(payload) < 1024:
            self._nuisance()
        if len(block) > self.hub.limits.head_bytes:
            raise Broken(Code.ENHANCE_YOUR_CALM, "the head is too large")
        ends = bool(flags & frames.END_HEADERS)
        self._hold_block(0 if ends else len(block))
        if ends:
            self._block = None
            self._head(first, stream, bytes(block))

    def _head(self, flags: int, stream: int, block: bytes) -> None:
        streams, ends = self._streams, bool(flags & frames.END_STREAM)
        if stream > streams.last:
            streams.last = stream
            head = self._reader.head(block)
            if len(streams.open) >= self.hub.limits.streams:
                raise Malformed(Code.REFUSED_STREAM, "too many streams")
            return streams.begin(stream, head, ends, perf_counter())
        return streams.trailers(stream, ends, self._reader.trailers(block))

    def _priority(self, _flags: int, stream: int, payload: bytes) -> None:
        self._nuisance()
        if not stream:
            raise Broken(Code.PROTOCOL_ERROR, "PRIORITY of no stream")
        if len(payload) != 5:
            raise Malformed(Code.FRAME_SIZE_ERROR, "PRIORITY has 5 bytes")
        if frames.read_u32(payload) & LARGEST_WINDOW == stream:
            raise Malformed(Code.PROTOCOL_ERROR, "a stream that depends on itself")

    def _reset(self, _flags: int, stream: int, payload: bytes) -> None:
        self._must_be_used(stream)
        if len(payload) != 4:
            raise Broken(Code.FRAME_SIZE_ERROR, "RST_STREAM has 4 bytes")
        self._nuisance()
        self._streams.forsaken(stream)

    def _settings(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            raise Broken(Code.PROTOCOL_ERROR, "SETTINGS of a stream")
        if flags & frames.ACK:
            if payload:
                raise Broken(Code.FRAME_SIZE_ERROR, "an acknowledgement has no payload")
            return
        self._nuisance()
        for number, value in frames.read_settings(payload):
            if number == Setting.INITIAL_WINDOW_SIZE:
                self._streams.outlet.set_initial(value, list(self._streams.open.values()))
            elif number == Setting.MAX_FRAME_SIZE:
                self._streams.outlet.max_frame = min(value, _OUR_FRAME)
        self._streams.outlet.send(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._streams.pump()

    def _push(self, _flags: int, _stream: int, _payload: bytes) -> None:
        raise Broken(Code.PROTOCOL_ERROR, "callers do not push")

    def _ping(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            raise Broken(Code.PROTOCOL_ERROR, "PING of a stream")
        if len(payload) != 8:
            raise Broken(Code.FRAME_SIZE_ERROR, "PING has 8 bytes")
        self._nuisance()
        if not flags & frames.ACK:
            self._streams.outlet.send(frames.frame(frames.PING, frames.ACK, 0, payload))

    def _goaway(self, _flags: int, stream: int, payload: bytes) -> None:
        """The caller will ask nothing more; what it has asked is answered."""
        if stream:
            raise Broken(Code.PROTOCOL_ERROR, "GOAWAY of a stream")
        if len(payload) < 8:
            raise Broken(Code.FRAME_SIZE_ERROR, "GOAWAY has at least 8 bytes")

    def _window_update(self, _flags: int, stream: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Broken(Code.FRAME_SIZE_ERROR, "WINDOW_UPDATE has 4 bytes")
        increment = frames.read_u32(payload) & LARGEST_WINDOW
        if stream == 0:
            if not increment:
                raise Broken(Code.PROTOCOL_ERROR, "a window that grows by nothing")
            self._streams.outlet.enlarge(increment)
            return self._streams.pump()
        self._must_be_used(stream)
        if not increment:
            raise Malformed(Code.PROTOCOL_ERROR, "a window that grows by nothing")
        return self._streams.enlarge(stream, increment)

    def _must_be_used(self, stream: int) -> None:
        if not stream or stream > self._streams.last or not stream & 1:
            raise Broken(Code.PROTOCOL_ERROR, "a frame of a stream that is not there")

    def _nuisance(self) -> None:
        self._nuisances += 1
        if self._nuisances > _NUISANCES + self._streams.answered:
            raise Broken(Code.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")

    def _break(self, code: Code, message: str) -> None:
        """Say why, and end: what was not answered will not be."""
        self._rest, self._block = b"", None
        self._hold_block(0)
        outlet = self._streams.outlet
        outlet.send(frames.goaway(self._streams.last, code, message))
        outlet.flush()
        outlet.over = True
        self._streams.leave()
        self.linger()

    def close_if_idle(self) -> None:
        if not self.lingering and self.idle and not self._unread():
            self._streams.outlet.send(frames.goaway(self._streams.last, Code.NO_ERROR, "closing"))
            self._streams.outlet.flush()
        super().close_if_idle()
