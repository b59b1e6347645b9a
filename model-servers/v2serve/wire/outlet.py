"""The sending side of an HTTP/2 connection: answers as frames, within the windows that the caller allows."""

from asyncio import Future, Transport

from v2serve.wire import frames
from v2serve.wire.blocks import CONTENT_LENGTH, DATE, block_of, literal
from v2serve.wire.exchange import Answer, Headers, Request
from v2serve.wire.frames import Broken, Code, Malformed
from v2serve.wire.hub import Hub

_FLUSH = 64 << 10  # frames are gathered up to here, then handed to the transport
_BODILESS = (204, 304)


class Stream:
    """One request and its answer.

    `ended`: the request is whole; `asked`: the application is at it; `held`: bytes of the request, `unsent`: of an
    answer that is not sent in full, of which `left` is to be sent.
    """

    __slots__ = (
        "admitted", "answer", "asked", "began", "body", "ended", "future", "held", "left", "length",
        "number", "received", "refusal", "request", "unsent", "window",
    )  # fmt: skip

    def __init__(self, number: int, request: Request, length: int, window: int) -> None:
        self.number = number
        self.request = request
        self.length = length
        self.window = window
        self.admitted = False
        self.began = request.begin
        self.body: bytes | bytearray = b""
        self.held = 0
        self.received = 0
        self.ended = False
        self.refusal: Answer | None = None
        self.future: Future[Answer] | None = None
        self.answer: Answer | None = None
        self.left: memoryview | None = None
        self.asked = False
        self.unsent = 0


class Outlet:
    """Frames on their way out; `blocked` are streams whose answer waits for a window or for the socket."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.transport: Transport
        self.window = frames.DEFAULT_WINDOW
        self.initial = frames.DEFAULT_WINDOW
        self.max_frame = frames.SMALLEST_MAX_FRAME
        self.blocked: dict[int, Stream] = {}
        self.unsent = 0  # bytes of their answers
        self.paused = False
        self.over = False  # nothing more is said
        self._out: list[bytes] = []
        self._size = 0

    def send(self, data: bytes) -> None:
        self._out.append(data)
        self._size += len(data)
        if self._size > _FLUSH:
            self.flush()

    def flush(self) -> None:
        if self._out:
            if not self.over:
                self.transport.write(self._out[0] if len(self._out) == 1 else b"".join(self._out))
            self._out.clear()
            self._size = 0

    def head(self, stream: Stream, answer: Answer) -> bool:
        """Send the head and whatever fits of the rest; True if that was all of the answer."""
        stream.answer = answer
        body = answer.body
        silent = stream.request.method == "HEAD" or answer.status in _BODILESS
        block = block_of(answer.status, answer.headers) + DATE + literal(self.hub.date)
        if not answer.trailers and answer.status not in _BODILESS:
            block += CONTENT_LENGTH + literal(b"%d" % len(body))
        if silent or not (body or answer.trailers):
            self._headers(stream.number, block, frames.END_STREAM)
            return True
        self._headers(stream.number, block, 0)
        size = len(body)
        if size <= stream.window and size <= self.window and size <= self.max_frame and not self.paused:
            return self._all(stream, answer, size)
        stream.left = memoryview(body)
        return self.more(stream)

    def more(self, stream: Stream) -> bool:
        """Send what fits of the body that is left; True if the answer is complete with it."""
        left, answer = stream.left, stream.answer
        if left is None or answer is None:
            return False
        while left and not self.paused:
            size = min(len(left), stream.window, self.window, self.max_frame)
            if size <= 0:
                break
            self._data(stream, bytes(left[:size]), end=size == len(left) and not answer.trailers)
            left = left[size:]
            stream.began = self.hub.now  # progress
        stream.left = left
        if left:
            self.blocked[stream.number] = stream
            self._count(stream, len(answer.body))  # all of it stays in memory until its end
            return False
        self.forget(stream)
        if answer.trailers:
            self._headers(stream.number, block_of(0, answer.trailers), frames.END_STREAM)
        return True

    def forget(self, stream: Stream) -> None:
        """Nothing of its answer is to be sent any more."""
        self.blocked.pop(stream.number, None)
        self._count(stream, 0)

    def _count(self, stream: Stream, unsent: int) -> None:
        change = unsent - stream.unsent
        stream.unsent = unsent
        self.unsent += change
        self.hub.held += change

    def pump(self) -> list[Stream]:
        """Room has come: one try for each blocked stream, in turn; those that are complete now."""
        waiting = tuple(self.blocked.values())
        self.blocked.clear()
        return [stream for stream in waiting if self.more(stream)]

    def enlarge(self, increment: int) -> None:
        """The window of the connection grows."""
        self.window += increment
        if self.window > frames.LARGEST_WINDOW:
            raise Broken(Code.FLOW_CONTROL_ERROR, "the window of the connection is above 2^31-1")

    def enlarge_one(self, stream: Stream, increment: int) -> None:
        stream.window += increment
        if stream.window > frames.LARGEST_WINDOW:
            raise Malformed(Code.FLOW_CONTROL_ERROR, "a window above 2^31-1")

    def set_initial(self, value: int, streams: list[Stream]) -> None:
        """INITIAL_WINDOW_SIZE also moves the windows of the streams that are open, below zero if need be."""
        difference, self.initial = value - self.initial, value
        for stream in streams:
            stream.window += difference
            if stream.window > frames.LARGEST_WINDOW:
                raise Broken(Code.FLOW_CONTROL_ERROR, "a window above 2^31-1")

    def _all(self, stream: Stream, answer: Answer, size: int) -> bool:
        trailers: Headers = answer.trailers
        if size or not trailers:
            self._data(stream, bytes(answer.body), end=not trailers)
        if trailers:
            self._headers(stream.number, block_of(0, trailers), frames.END_STREAM)
        return True

    def _data(self, stream: Stream, data: bytes, end: bool) -> None:
        stream.window -= len(data)
        self.window -= len(data)
        self.send(frames.frame(frames.DATA, frames.END_STREAM if end else 0, stream.number, data))

    def _headers(self, number: int, block: bytes, flags: int) -> None:
        if len(block) <= self.max_frame:
            return self.send(frames.frame(frames.HEADERS, flags | frames.END_HEADERS, number, block))
        self.send(frames.frame(frames.HEADERS, flags, number, block[: self.max_frame]))
        rest = block[self.max_frame :]
        while len(rest) > self.max_frame:
            self.send(frames.frame(frames.CONTINUATION, 0, number, rest[: self.max_frame]))
            rest = rest[self.max_frame :]
        return self.send(frames.frame(frames.CONTINUATION, frames.END_HEADERS, number, rest))
