"""What llhttp finds in one HTTP/1 connection becomes turns: requests, or refusals."""

from collections.abc import Callable
from time import perf_counter

from httptools import HttpParserCallbackError, HttpParserError, HttpRequestParser

from v2serve.wire.exchange import Answer, Request
from v2serve.wire.hub import DISCARD, INTERNAL, Hub, log
from v2serve.wire.objections import objection, too_large
from v2serve.wire.target import LONGEST_TARGET

_METHODS: dict[bytes, str] = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
}
_NAMES: dict[bytes, str] = {}  # names of headers as they were sent -> in lower case
_NAMES_CACHED = 1024
_LONGEST_NAME = 64


class Stop(Exception):
    """Parse no further: `last` is the answer that ends the connection."""


class Turn:
    """One request in its place among those of its connection; `refusal`: its answer is known already."""

    __slots__ = ("admitted", "held", "keep", "refusal", "request")

    def __init__(
        self, request: Request | None, refusal: Answer | None, keep: bool, admitted: bool, held: int
    ) -> None:
        self.request = request
        self.refusal = refusal
        self.keep = keep
        self.admitted = admitted
        self.held = held


class Intake:
    """Callbacks of httptools. `head`: one has begun; `request`: its head is there and its body is not."""

    parser: HttpRequestParser

    def __init__(self, hub: Hub, take: Callable[[Turn], None], wants_body: Callable[[], None]) -> None:
        self.hub = hub
        self.head = False
        self.request: Request | None = None
        self.began = hub.now
        self.deaf = False
        self._take = take
        self._wants_body = wants_body
        self._largest = hub.limits.body_bytes
        self._last: Answer | None = None
        self.again = b""  # a head that wished to upgrade, without that wish
        self._clear()

    def _clear(self) -> None:
        self._target = b""
        self._fields: dict[str, str] = {}
        self._count = 0
        self._carried = -1  # bytes of the head in slices that came after its first
        self._refusal: Answer | None = None
        self._admitted = False
        self._body: bytes | bytearray = b""
        self._dropped = 0
        self._held = 0

    def on_message_begin(self) -> None:
        if self.deaf:
            raise Stop
        self.head = True
        self.began = self.hub.now

    def on_url(self, target: bytes) -> None:
        self._target += target
        if len(self._target) > LONGEST_TARGET:
            self._stop(414, f"the target is longer than {LONGEST_TARGET} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count += 1
        if self._count > self.hub.limits.headers:
            self._stop(431, f"there are more than {self.hub.limits.headers} headers")
        if not self.head:
            return  # a trailer: nothing here reads them
        fields = self._fields
        key = _NAMES.get(name) or _lowered(name)
        text = value.decode("latin-1")
        if key in fields:
            text = f"{fields[key]}, {text}"
        fields[key] = text

    def on_headers_complete(self) -> None:
        if self._carried >= 0:
            self._weigh_head()
        parser = self.parser
        method = parser.get_method()
        if parser.should_upgrade() and method != b"CONNECT":
            self.again = _plain(method, self._target, parser.get_http_version(), self._fields)
            return
        self.head = False
        request = Request(
            _METHODS.get(method) or method.decode("latin-1"),
            "",
            "",
            self._fields,
            perf_counter(),
            parser.get_http_version(),
        )
        self.request = request
        self.began = request.begin
        wrong = objection(request, self._target)
        if wrong is not None:
            self._stop(*wrong)
        self._admit(request)

    def on_body(self, data: bytes) -> None:
        if self._refusal is not None:
            return self._drop(data)
        if self._body:
            if type(self._body) is bytes:
                self._body = bytearray(self._body)
            self._body += data
        else:
            self._body = data
        hub, size = self.hub, len(data)
        self._held += size
        hub.held += size
        if hub.held > hub.held_bytes or len(self._body) > self._largest:
            self._weigh()
        return None

    def on_message_complete(self) -> None:
        if self.again:
            return
        request = self.request
        if request is None:  # llhttp says so after each head
            raise RuntimeError("a message ended that had not begun")
        body = self._body
        request.body = body if type(body) is bytes else bytes(body)
        turn = Turn(request, self._refusal, self.parser.should_keep_alive(), self._admitted, self._held)
        self.request = None
        self._clear()
        self._take(turn)

    def without_upgrade(self) -> bytes:
        """The head to parse again, for llhttp takes no body behind one that wishes to upgrade (RFC 9110, 7.8)."""
        head, self.again = self.again, b""
        self.hub.held -= self._held
        self._clear()
        return head

    def head_goes_on(self, size: int) -> None:
        """A slice ended within a head; Stop if that is too large."""
        self._carried = 0 if self._carried < 0 else self._carried + size
        self._weigh_head()

    def stopped(self, error: HttpParserError | None) -> Turn:
        """The turn of a connection whose parser gave up, or was told to."""
        refusal = self._last
        if isinstance(error, HttpParserCallbackError) and not isinstance(error.__context__, Stop):
            log.error("the wire failed", exc_info=error)
            refusal = self.hub.refuse(self.request, 500, INTERNAL)
        if refusal is None:
            refusal = self.hub.refuse(self.request, *_fault(str(error)))
        return self._end(refusal)

    def late(self, why: str) -> Turn:
        """The head or the body took too long; one that was to be dropped anyway keeps its refusal."""
        message = f"the {'head' if self.request is None else 'body'} {why}; send it faster"
        return self._end(self._refusal or self.hub.refuse(self.request, 408, message))

    def cut_short(self) -> Turn:
        """The caller sends no more, in the middle of a request."""
        part = "head" if self.request is None else "body"
        message = f"the {part} ended before it was complete; send all of it"
        return self._end(self._refusal or self.hub.refuse(self.request, 400, message))

    @property
    def refused(self) -> int:
        """Of a body that nobody wants and that is not there yet: one more than the bytes that have come; else 0."""
        return 1 + self._dropped if self._refusal is not None and self.request is not None else 0

    def abandon(self) -> Request | None:
        """Forget the request in hand; given if it was admitted."""
        self.hub.held -= self._held
        request = self.request if self._admitted else None
        self.request, self.head, self.deaf = None, False, True
        self._clear()
        return request

    def _end(self, refusal: Answer) -> Turn:
        turn = Turn(self.request, refusal, False, self._admitted, self._held)
        self.request, self.head, self.deaf = None, False, True
        self._clear()
        return turn

    def _stop(self, status: int, message: str) -> None:
        self._last = self.hub.refuse(self.request, status, message)
        raise Stop

    def _admit(self, request: Request) -> None:
        refusal = self.hub.admit(request)
        self._admitted = refusal is None
        fields = request.headers
        length = int(fields.get("content-length", 0))
        if refusal is None and length > self.hub.limits.body_bytes:
            refusal = self._too_large(length)
        self._refusal = refusal
        if "expect" in fields and request.http == "1.1" and (length or "transfer-encoding" in fields):
            self._expected()
        elif refusal is not None and length > DISCARD:
            self._last = refusal
            raise Stop

    def _expected(self) -> None:
        """The caller asks before it sends: 100, or the refusal, and then nobody knows if a body follows."""
        if self._refusal is None:
            self._wants_body()
        else:
            self._last = self._refusal
            raise Stop

    def _too_large(self, length: int | None) -> Answer:
        return self.hub.refuse(self.request, 413, too_large(length, self.hub.limits.body_bytes))

    def _drop(self, data: bytes) -> None:
        self._dropped += len(data)
        if self._dropped > DISCARD:
            self._last = self._refusal
            raise Stop

    def _weigh_head(self) -> None:
        hub = self.hub
        size = sum(len(name) + len(value) + 4 for name, value in self._fields.items()) + len(self._target)
        if max(size, self._carried) > hub.limits.head_bytes:
            self._stop(431, f"the head has more than {hub.limits.head_bytes} bytes")
        hub.held += size - self._held
        self._held = size
        if hub.crowded(None, size, size):
            self._last = hub.full(None)
            raise Stop

    def _weigh(self) -> None:
        size = len(self._body)
        if size > self._largest:
            self._refusal = self._too_large(None)
        elif self.hub.crowded(self.request, size, self._held):
            self._refusal = self.hub.full(self.request)
        else:
            return
        self._dropped = size
        self.hub.held -= self._held
        self._held = 0
        self._body = b""


def _plain(method: bytes, target: bytes, version: str, fields: dict[str, str]) -> bytes:
    kept = {name: value for name, value in fields.items() if name not in ("upgrade", "connection")}
    wishes = [wish.strip().lower() for wish in fields.get("connection", "").split(",")]
    for wish in ("keep-alive", "close"):
        if wish in wishes:
            kept["connection"] = wish
    lines = [f"{name}: {value}\r\n".encode("latin-1") for name, value in kept.items()]
    return b"%s %s HTTP/%s\r\n%s\r\n" % (method, target, version.encode(), b"".join(lines))


def _lowered(name: bytes) -> str:
    key = name.decode("latin-1").lower()
    if len(_NAMES) < _NAMES_CACHED and len(name) <= _LONGEST_NAME:
        _NAMES[name] = key
    return key


def _fault(reason: str) -> tuple[int, str]:
    if reason == "Invalid HTTP version":
        return 505, "the version of HTTP is not one of 1.0, 1.1 and 2"
    return 400, f"the request is not HTTP: {reason}"
