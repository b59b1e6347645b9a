"""The streams of one HTTP/2 connection: from a head to the end of its answer."""

from asyncio import Future
from collections.abc import Callable
from functools import partial

from v2serve.wire import frames
from v2serve.wire.blocks import Head
from v2serve.wire.connection import Connection
from v2serve.wire.exchange import Answer, Request
from v2serve.wire.frames import Broken, Code, Malformed
from v2serve.wire.hub import Hub
from v2serve.wire.objections import too_large
from v2serve.wire.outlet import Outlet, Stream

_REMEMBERED = 256  # streams that we ended; what was on its way for them is no mistake of the caller
_UNSENT = 1 << 20  # of one connection; while its caller leaves more untaken, no further stream is asked
_OBJECTS = 1024  # what a stream takes beside its bytes, about
_CONTINUE = b"\x08\x03100"  # :status 100


class Streams:
    """`open` holds those whose answer is not sent in full; `last` is the highest number that was used.

    `held` are the bytes of all their requests, `whole` of those among them whose body has ended.
    """

    def __init__(
        self, hub: Hub, connection: Connection, emptied: Callable[[], None], consumed: Callable[[], None]
    ) -> None:
        self.hub = hub
        self._connection = connection
        self.open: dict[int, Stream] = {}
        self.last = 0
        self.answered = 0  # lately
        self.outlet = Outlet(hub)
        self.held = 0
        self.whole = 0
        self._waiting: dict[int, Stream] = {}  # for earlier answers to be taken
        self._emptied = emptied
        self._consumed = consumed
        self._flushes = False
        self._ended_by_us: dict[int, None] = {}

    def begin(self, number: int, head: Head, ends: bool, now: float) -> None:
        request = Request(head.method, head.path, head.query, head.headers, now, "2")
        stream = self.open[number] = Stream(number, request, head.length, self.outlet.initial)
        self._hold(stream, head.size + _OBJECTS)
        if head.wrong is not None:
            stream.refusal = self.hub.refuse(request, *head.wrong)
        else:
            stream.refusal = self.hub.admit(request)
            stream.admitted = stream.refusal is None
            if stream.admitted and self.hub.crowded(request, 0, self.held):
                stream.refusal = self.hub.full(request)
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
        elif stream.refusal is not None:
            self._write(stream, stream.refusal)

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
            if self._waiting:
                self._ask_next()

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
                self._write(stream, self.hub.refuse(stream.request, 408, message))

    def stalls_since(self) -> float | None:
        """Since when each open stream waits for its caller."""
        began = 0.0
        for stream in self.open.values():
            if stream.asked:
                return None
            began = max(began, stream.began)
        return began or None

    def _await_body(self, stream: Stream) -> None:
        limit = self.hub.limits.body_bytes
        if stream.refusal is None and stream.length > limit:
            stream.refusal = self.hub.refuse(stream.request, 413, too_large(stream.length, limit))
        if stream.refusal is not None:  # the caller is told to stop as well (RFC 9113, 8.1)
            self._write(stream, stream.refusal)
        elif "expect" in stream.request.headers:
            self.outlet.send(frames.frame(frames.HEADERS, frames.END_HEADERS, stream.number, _CONTINUE))

    def _keep(self, stream: Stream, body: bytes) -> None:
        if not stream.body:
            stream.body = body
        else:
            if type(stream.body) is bytes:
                stream.body = bytearray(stream.body)
            stream.body += body
        self._hold(stream, len(body))
        hub = self.hub
        if hub.held > hub.held_bytes or len(stream.body) > hub.limits.body_bytes:
            self._weigh(stream)

    def _hold(self, stream: Stream, size: int) -> None:
        stream.held += size
        self.held += size
        self.hub.held += size

    def _weigh(self, stream: Stream) -> None:
        size, limit = len(stream.body), self.hub.limits.body_bytes
        if size > limit:
            stream.refusal = self.hub.refuse(stream.request, 413, too_large(None, limit))
        elif self.hub.crowded(stream.request, size, self.held):
            stream.refusal = self.hub.full(stream.request)
        if stream.refusal is not None:
            self._release(stream)

    def _whole(self, stream: Stream) -> None:
        stream.ended = True
        self.whole += stream.held
        if stream.answer is not None:  # it was refused, and the refusal could not yet be sent
            return None
        if stream.length >= 0 and stream.length != stream.received:
            raise Malformed(Code.PROTOCOL_ERROR, "content-length is not the length of the body")
        if stream.refusal is not None:
            return self._write(stream, stream.refusal)
        request, body = stream.request, stream.body
        request.body = body if type(body) is bytes else bytes(body)
        stream.body = b""
        if self.outlet.unsent > _UNSENT:
            self._waiting[stream.number] = stream
            return None
        return self._ask(stream)

    def _ask(self, stream: Stream) -> None:
        stream.asked = True
        self.hub.ask(stream.request, self._connection, partial(self._deliver, stream))

    def _ask_next(self) -> None:
        """One answer was taken, or is not wanted: ask for one of those that wait."""
        if self.outlet.unsent <= _UNSENT:
            self._ask(self._waiting.pop(next(iter(self._waiting))))

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
        """Once for each stream."""
        if stream.answer is not None:
            return
        stream.asked = False
        stream.began = self.hub.now
        if self.hub.held > self.hub.held_bytes:
            answer = self.hub.instead(stream.request, answer)
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
        if self._waiting:
            self._ask_next()
        if not self.open:
            self._emptied()

    def _drop(self, stream: Stream) -> None:
        self.outlet.forget(stream)
        self._waiting.pop(stream.number, None)
        future, stream.future = stream.future, None
        if future is not None:
            future.cancel()
        elif stream.asked:
            self.hub.withdraw(stream.request)
        self._release(stream)
        if stream.admitted:
            self.hub.answered(stream.request, None)

    def _release(self, stream: Stream) -> None:
        held, stream.held = stream.held, 0
        self.held -= held
        self.hub.held -= held
        stream.body = b""
        if stream.ended:
            self.whole -= held
        if stream.received:
            self._consumed()

    def _remember(self, number: int) -> None:
        self._ended_by_us[number] = None
        if len(self._ended_by_us) > _REMEMBERED:
            del self._ended_by_us[next(iter(self._ended_by_us))]
