"""HTTP/1.0 and 1.1 (RFC 9112) over llhttp: answers in order, on the spot where possible."""

from asyncio import Future
from collections import deque

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from v2serve.wire.connection import Connection
from v2serve.wire.exchange import Answer
from v2serve.wire.heads import head_of
from v2serve.wire.hub import FREE, Hub
from v2serve.wire.intake import Intake, Stop, Turn

_SLICE = 16 << 10  # parsed at once: as many requests as that are prepared ahead of their turn
_AHEAD = 64 << 10  # bytes that are kept for later while an answer is being made; then the caller has to wait
_JOINED = 16 << 10  # bodies up to here are copied behind their head, to be written at once
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Http1(Connection):
    """`_making` is the turn whose answer is being made, and its future if that takes longer than a turn of the loop;
    until the answer is there, nothing else is parsed."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._intake = Intake(hub, self._take_turn, self._owe_continue)
        self._parser = HttpRequestParser(self._intake)
        self._intake.parser = self._parser
        self._turns: deque[Turn] = deque()
        self._making: tuple[Turn, Future[Answer] | None] | None = None
        self._rest = b""
        self._arrived = b""  # in this turn of the loop, not yet looked at
        self._ahead = 0  # bytes of these two, in `hub.held`
        self._refused = 0  # bytes of a body that nobody wants, at the last sweep
        self._continue = False
        self._over = False  # no request after the ones that are in their turn
        self._ended = False  # the caller sends no more

    @property
    def idle(self) -> bool:
        intake = self._intake
        if self._making is not None or self._turns:
            return False
        return not (self._arrived or self._rest or intake.head or intake.request)

    def data_received(self, data: bytes) -> None:
        if self.lingering:
            return self.dropped(data)
        if self._making is not None or self.paused or self._rest or self._over:
            self._rest += data
            if len(self._rest) > FREE:
                self._wait()
            return None
        if not self._arrived:
            self.hub.arrive(self)
        self._arrived += data
        if len(self._arrived) > FREE:
            self._wait()
        return None

    def _wait(self) -> None:
        """Much has come that cannot be looked at yet."""
        rest = len(self._rest)
        self._count_ahead(rest + len(self._arrived))
        if self.hub.crowded(None, 0, rest):
            self.transport.abort()
        elif self._ahead > _AHEAD:
            self.transport.pause_reading()

    def _count_ahead(self, size: int) -> None:
        self.hub.held += size - self._ahead
        self._ahead = size

    def take_arrived(self) -> None:
        data, self._arrived = self._arrived, b""
        if self._ahead:
            if self._ahead > _AHEAD and not self.transport.is_closing():
                self.transport.resume_reading()
            self._count_ahead(0)
        if len(data) <= _SLICE:
            self._feed(data)
        else:
            self._rest = data
            self._advance()

    def eof_received(self) -> bool:
        """A caller who says nothing more gets what can be answered now; one who waits for a model has left."""
        if self._arrived:
            self.take_arrived()
        if self.lingering or self.lost or (self._making is not None and self._making[1] is not None):
            return False
        self._ended = True
        if self._turns or self._rest or self._making is not None:
            return True
        return self._cut_short()

    def _cut_short(self) -> bool:
        """The end of what the caller sends; False: there is nothing left to say."""
        if self._over or self.idle:
            return False
        self._take_turn(self._intake.cut_short())
        return True

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._rest = self._arrived = b""
        self._count_ahead(0)
        if self._making is not None:
            turn, future = self._making
            self._making = None
            if future is not None:
                future.cancel()
            elif turn.request is not None:
                self.hub.withdraw(turn.request)
            self._leave(turn)
        self._forget()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._advance()

    def overdue(self) -> None:
        """Idle: close. A head or a body that takes too long: 408. An answer that is being made may take its time."""
        if self.idle:
            self.transport.close()
            return
        if self._waits() and self.hub.now - self._intake.began > self.hub.patience:
            seconds = self.hub.limits.read_seconds
            self._take_turn(self._intake.late(f"did not arrive within {seconds:g} s (V2SERVE_READ_SECONDS)"))

    def _waits(self) -> bool:
        """For the caller, and for nothing else."""
        return self._free() and not (self._turns or self._rest or self._arrived or self._over)

    def sweep(self, now: float) -> None:
        """A refusal is told when its body has ended, or when the caller stops sending it, perhaps to hear it."""
        super().sweep(now)
        refused = self._intake.refused
        if refused and refused == self._refused and self._waits() and not (self.lingering or self.lost):
            self._take_turn(self._intake.late("did not arrive"))
        self._refused = refused

    @property
    def stalls_since(self) -> float | None:
        if self.paused:
            return self.unsent_since
        intake = self._intake
        return intake.began if self._waits() and (intake.head or intake.request) else None

    def cut_short(self) -> None:
        self._take_turn(self._intake.late("is slow, and others wait for this connection"))

    def _advance(self) -> None:
        """Go on after a pause: turns that waited, then bytes that waited."""
        self._intake.began = self.hub.now
        while self._turns and self._free():
            self._answer(self._turns.popleft())
        rest, self._rest = memoryview(self._rest), b""
        if self._ahead:
            self._count_ahead(0)
        done = 0
        while done < len(rest) and self._free() and not self._over:
            self._feed(rest[done : done + _SLICE])
            done += _SLICE
        if not self._over or self._turns:
            self._rest = bytes(rest[done:]) + self._rest
            if len(self._rest) > FREE:
                self._wait()
        self._caught_up()

    def _free(self) -> bool:
        return self._making is None and not self.paused

    def _caught_up(self) -> None:
        """Nothing waits any more: read on, or hear the end that came meanwhile."""
        if not self._free() or self._turns or self._rest or self.lost:
            return
        if self._continue:
            self._owe_continue()
        self.transport.resume_reading()
        if self._ended and not self.lingering and not self._cut_short():
            self.transport.close()

    def _owe_continue(self) -> None:
        """100 Continue, once the answers before it are written."""
        self._continue = not (self._free() and not self._turns)
        if not self._continue:
            self.transport.write(_CONTINUE)

    def _feed(self, data: bytes | memoryview) -> None:
        rest = b""
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:  # not wanted: HTTP/1 goes on
            rest = self._not_upgraded(bytes(data[upgrade.args[0] :]))
        except HttpParserError as error:
            return self._broken(error)
        if rest and not self._over:
            return self._feed(rest)
        if self._intake.head:
            self._check_head(len(data))
        return None

    def _not_upgraded(self, rest: bytes) -> bytes:
        intake = self._intake
        if not intake.again:
            return rest
        self._parser = intake.parser = HttpRequestParser(intake)
        return intake.without_upgrade() + rest

    def _check_head(self, size: int) -> None:
        try:
            self._intake.head_goes_on(size)
        except Stop:
            self._broken(None)

    def _broken(self, error: HttpParserError | None) -> None:
        """The bytes are no HTTP, or the intake has had enough: one answer, and the end."""
        if not self._over:
            self._over = True
            self._take_turn(self._intake.stopped(error))

    def _take_turn(self, turn: Turn) -> None:
        """A request is whole, or refused: its turn is now if no other is before it."""
        if not turn.keep:
            self._over = True
        if self._making is None and not self._turns and not self.paused:
            self._answer(turn)
        else:
            self._turns.append(turn)

    def _answer(self, turn: Turn) -> None:
        if turn.refusal is not None:
            self._write(turn, turn.refusal)
        else:
            self._making = (turn, None)
            self.hub.ask(turn.request, self, self._deliver)  # type: ignore[arg-type]

    def _deliver(self, made: "Answer | Future[Answer]") -> None:
        if self._making is None:  # the caller has left
            if type(made) is not Answer:
                made.cancel()  # type: ignore[union-attr]
            return
        turn = self._making[0]
        if type(made) is Answer:
            self._making = None
            self._write(turn, made)
            if self._turns or self._rest or self._ended or self._continue:
                self._advance()
        elif self._ended:  # and does not want to wait
            made.cancel()  # type: ignore[union-attr]
            self.transport.close()
        else:
            self._making = (turn, made)  # type: ignore[assignment]
            made.add_done_callback(self._made)  # type: ignore[union-attr]

    def _made(self, future: "Future[Answer]") -> None:
        if self._making is None:  # the caller has left
            return
        turn, _ = self._making
        self._making = None
        self._write(turn, self.hub.outcome(turn.request, future))  # type: ignore[arg-type]
        self._advance()

    def _write(self, turn: Turn, answer: Answer) -> None:
        request, hub = turn.request, self.hub
        hub.held -= turn.held
        if hub.held > hub.held_bytes:
            answer = hub.instead(request, answer)
        head = head_of(answer.status, answer.headers)
        keep = turn.keep and not head.close
        if hub.farewells:
            hub.farewells -= 1
            keep = False
        body = b"" if head.bodiless or (request is not None and request.method == "HEAD") else answer.body
        text = head.start if head.bodiless else b"%s%d" % (head.start, len(answer.body))
        if not keep and not head.close:
            text += b"\r\nconnection: close"
        elif keep and request is not None and request.http == "1.0":
            text += b"\r\nconnection: keep-alive"
        if len(body) <= _JOINED:
            self.transport.write(b"%s\r\ndate: %s\r\n\r\n%s" % (text, hub.date, body))
        else:
            self.transport.write(b"%s\r\ndate: %s\r\n\r\n" % (text, hub.date))
            self.transport.write(body)
        self._written(turn, answer, keep)

    def _written(self, turn: Turn, answer: Answer, keep: bool) -> None:
        request = turn.request
        self.since = self.hub.now
        if turn.admitted and request is not None:
            self.hub.answered(request, answer)
        if not keep:
            self._finish()

    def _finish(self) -> None:
        """No more answers: requests that came behind the last one are not heard."""
        self._over = True
        self._rest = b""
        self._count_ahead(0)
        self._forget()
        self.linger()

    def _forget(self) -> None:
        """Nobody will hear the answers of the turns that are left."""
        while self._turns:
            self._leave(self._turns.popleft())
        unfinished = self._intake.abandon()
        if unfinished is not None:
            self.hub.answered(unfinished, None)

    def _leave(self, turn: Turn) -> None:
        self.hub.held -= turn.held
        if turn.admitted and turn.request is not None:
            self.hub.answered(turn.request, None)
