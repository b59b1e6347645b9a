"""The streams of one HTTP/2 connection: from a head to the end of its answer."""

from asyncio import Future
from collections.abc import Callable
from functools import partial

from v2serve.wire import frames
from v2serve.wire.blocks import Head
from v2serve.wire.connection import Connection
from v2serve.wire.exchange import Answer, Request
from v2serve.wire.frames import Broken, Code, Malformed
from v2serve.wire.hub import SMALL_BODY, Hub
from v2serve.wire.objections import too_large
from v2serve.wire.outlet import Outlet, Stream

_REMEMBERED = 256  # streams that we ended; what was on its way for them is no mistake of the caller
_CONTINUE = b"\x08\x03100"  # :status 100


class Streams:
    """`open` holds those whose answer is not sent in full; `last` is the highest number that was used."""

    def __init__(self, hub: Hub, connection: Connection, emptied: Callable[[], None]) -> None:
        self.hub = hub
        self._connection = connection
        self.open: dict[int, Stream] = {}
        self.last = 0
        self.answered = 0  # lately
        self.outlet = Outlet(hub)
        self._emptied = emptied
        self._flushes = False
        self._ended_by_us: dict[int, None] = {}
        self._weighed = min(SMALL_BODY, hub.limits.body_bytes)

    def begin(self, number: int, head: Head, ends: bool, now: float) -> None:
        request = Request(head.method, head.path, head.query, head.headers, now, "2")
        stream = self.open[number] = Stream(number, request, head.length, self.outlet.initial)
        if head.wrong is not None:
            stream.refusal = self.hub.refuse(request, *head.wrong)
        else:
            stream.refusal = self.hub.admit(request)
            stream.admitted = stream.refusal is None
        if ends:
            self._whole(stream)
        else:
            self._await_body(stream)

    def data(self, number: int, body: bytes, size: int, ends: bool) -> None:
        """A part of a body; `size` is with its padding, which counts for the window."""
        stream = self.open.get(number)
        if stream is None or stream.ended:
            if number in self._ended_by_us:
                return
            raise Malformed(Code.STREAM_CLOSED, "DATA after the end")
        if size > len(body) and not ends:
            self.outlet.send(frames.window_update(number, size - len(body)))
        stream.received += len(body)
        if stream.refusal is None:
            self._keep(stream, body)
        if ends:
            self._whole(stream)
        elif stream.received > self.hub.limits.body_bytes:
            self._refuse_now(stream)

    def trailers(self, number: int, ends: bool, sound: bool) -> None:
        stream = self.open.get(number)
        if stream is None or stream.ended:
            if number in self._ended_by_us:
                return
            if stream is None:
                raise Broken(Code.STREAM_CLOSED, "HEADERS after the end")
            raise Malformed(Code.STREAM_CLOSED, "HEADERS after the end")
        if not ends or not sound:
            raise Malformed(Code.PROTOCOL_ERROR, "trailers that do not end the stream, or with a broken name")
        self._whole(stream)

    def enlarge(self, number: int, increment: int) -> None:
        stream = self.open.get(number)
        if stream is None:
            return
        self.outlet.enlarge_one(stream, increment)
        if number in self.outlet.blocked and self.outlet.more(stream):
            self._sent(stream)

    def pump(self) -> None:
        if self.outlet.blocked:
            for stream in self.outlet.pump():
                self._sent(stream)

    def forsaken(self, number: int) -> None:
        """The caller does not want the answer any more."""
        stream = self.open.pop(number, None)
        if stream is not None:
            self._drop(stream)

    def reset(self, number: int, code: Code) -> None:
        """End one stream, whatever its state."""
        self._remember(number)
        self.outlet.send(frames.reset(number, code))
        self.forsaken(number)

    def leave(self) -> None:
        """The connection is over."""
        while self.open:
            _, stream = self.open.popitem()
            self._drop(stream)

    def sweep(self, now: float) -> None:
        """Bodies that do not arrive, answers that nobody lets us send."""
        patience, seconds = self.hub.patience, self.hub.limits.read_seconds
        late = [s for s in self.open.values() if s.future is None and now - s.began > patience]
        for stream in late:
            if stream.answer is not None:
                self.reset(stream.number, Code.CANCEL)
            elif not stream.ended:
                message = (
                    f"the body did not arrive within {seconds:g} s (V2SERVE_READ_SECONDS); send it faster"
                )
                stream.refusal = stream.refusal or self.hub.refuse(stream.request, 408, message)
                self._refuse_now(stream)

    def _await_body(self, stream: Stream) -> None:
        limit = self.hub.limits.body_bytes
        if stream.refusal is None and stream.length > limit:
            stream.refusal = self.hub.refuse(stream.request, 413, too_large(stream.length, limit))
        expects = "expect" in stream.request.headers
        if stream.refusal is not None and (expects or stream.length > limit):
            self._refuse_now(stream)
        elif expects:
            self.outlet.send(frames.frame(frames.HEADERS, frames.END_HEADERS, stream.number, _CONTINUE))

    def _keep(self, stream: Stream, body: bytes) -> None:
        if not stream.body:
            stream.body = body
        else:
            if type(stream.body) is bytes:
                stream.body = bytearray(stream.body)
            stream.body += body
        if len(stream.body) > self._weighed:
            self._weigh(stream)

    def _weigh(self, stream: Stream) -> None:
        size, limits = len(stream.body), self.hub.limits
        if size > limits.body_bytes:
            stream.refusal = self.hub.refuse(stream.request, 413, too_large(None, limits.body_bytes))
        elif size > SMALL_BODY:
            self.hub.held += size - stream.held
            stream.held = size
            if self.hub.held > limits.held_bytes:
                stream.refusal = self.hub.full(stream.request)
        if stream.refusal is not None:
            self._release(stream)

    def _refuse_now(self, stream: Stream) -> None:
        """Answer before the body is there, then tell the caller to stop (RFC 9113, 8.1)."""
        if stream.refusal is not None:
            self._write(stream, stream.refusal)

    def _whole(self, stream: Stream) -> None:
        stream.ended = True
        if stream.length >= 0 and stream.length != stream.received:
            raise Malformed(Code.PROTOCOL_ERROR, "content-length is not the length of the body")
        if stream.refusal is not None:
            return self._write(stream, stream.refusal)
        request, body = stream.request, stream.body
        request.body = body if type(body) is bytes else bytes(body)
        stream.body = b""
        return self.hub.ask(request, self._connection, partial(self._deliver, stream))

    def _deliver(self, stream: Stream, made: "Answer | Future[Answer]") -> None:
        if self.open.get(stream.number) is not stream:  # the caller does not want it any more
            if type(made) is not Answer:
                made.cancel()  # type: ignore[union-attr]
        elif type(made) is Answer:
            self._write(stream, made)
            if not self._flushes:
                self._flushes = True
                self.hub.afterwards.append(self._flush)
        else:
            self._wait(stream, made)  # type: ignore[arg-type]

    def _flush(self) -> None:
        """Once for all answers of a turn."""
        self._flushes = False
        self.outlet.flush()

    def _wait(self, stream: Stream, future: "Future[Answer]") -> None:
        stream.future = future

        def made(done: "Future[Answer]") -> None:
            if self.open.get(stream.number) is stream and stream.future is done:
                stream.future = None
                self._write(stream, self.hub.outcome(stream.request, done))
                self.outlet.flush()

        future.add_done_callback(made)

    def _write(self, stream: Stream, answer: Answer) -> None:
        stream.began = self.hub.now
        if self.outlet.head(stream, answer):
            self._sent(stream)

    def _sent(self, stream: Stream) -> None:
        del self.open[stream.number]
        self.answered += 1
        if not stream.ended:
            self._remember(stream.number)
            self.outlet.send(frames.reset(stream.number, Code.NO_ERROR))
        self._release(stream)
        if stream.admitted:
            self.hub.answered(stream.request, stream.answer)
        if not self.open:
            self._emptied()

    def _drop(self, stream: Stream) -> None:
        self.outlet.blocked.pop(stream.number, None)
        future, stream.future = stream.future, None
        if future is not None:
            future.cancel()
        self._release(stream)
        if stream.admitted:
            self.hub.answered(stream.request, None)

    def _release(self, stream: Stream) -> None:
        self.hub.held -= stream.held
        stream.held = 0
        stream.body = b""

    def _remember(self, number: int) -> None:
        self._ended_by_us[number] = None
        if len(self._ended_by_us) > _REMEMBERED:
            del self._ended_by_us[next(iter(self._ended_by_us))]
