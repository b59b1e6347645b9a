"""A blocking HTTP/2 caller on the h2 library, and raw frames for what h2 would not send."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings

from tests.v2serve.wire.echo import Running
from v2serve.wire import frames

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frames.frame(frames.SETTINGS, 0, 0)
# GET / over http of h, without a dynamic table
BLOCK = b"\x82\x86\x84\x01\x01h"
POST_BLOCK = b"\x83\x86\x84\x01\x01h"


def asked(path: str, method: str = "GET", *more: tuple[str, str]) -> list[tuple[str, str]]:
    return [(":method", method), (":path", path), (":scheme", "http"), (":authority", "h"), *more]


class Answered:
    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.trailers: dict[str, str] = {}
        self.body = b""
        self.ended = False
        self.reset: int | None = None

    @property
    def status(self) -> int:
        return int(self.headers[":status"])


class Http2Caller:
    def __init__(self, channel: socket.socket, window: int | None = None) -> None:
        config = h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        self.socket = channel
        self.answers: dict[int, Answered] = {}
        self.order: list[int] = []
        self.goaway: int | None = None
        self.reading = True  # give back the windows of what was read
        if window is not None:
            self.h2.local_settings = h2.settings.Settings(
                client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
            )
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def ask(self, headers: list[tuple[str, str]], body: bytes | None = None, end: bool = True) -> int:
        stream = self.h2.get_next_available_stream_id()
        self.answers[stream] = Answered()
        self.h2.send_headers(stream, headers, end_stream=body is None and end)
        if body is not None:
            self.send_body(stream, body, end)
        self.flush()
        return stream

    def send_body(self, stream: int, body: bytes, end: bool) -> None:
        while body and self.answers[stream].reset is None:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(body))
            if not room:
                self.flush()
                self.receive()
                continue
            self.h2.send_data(stream, body[:room], end_stream=end and room == len(body))
            body = body[room:]

    def receive(self) -> bool:
        data = self.socket.recv(65536)
        for event in self.h2.receive_data(data) if data else ():
            self._note(event)
        if data:
            self.flush()
        return bool(data)

    def answer(self, stream: int) -> Answered:
        answer = self.answers[stream]
        while not (answer.ended or answer.reset is not None):
            assert self.receive(), "the connection ended before the answer"
        return answer

    def _note(self, event: Any) -> None:
        answer = self.answers.get(getattr(event, "stream_id", None) or 0, Answered())
        if isinstance(event, h2.events.ResponseReceived):
            answer.headers = dict(event.headers)  # type: ignore[arg-type]
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data
            if self.reading:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = dict(event.headers)  # type: ignore[arg-type]
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
            self.order.append(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = int(event.error_code)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code or 0)


@contextmanager
def calling2(running: Running, window: int | None = None) -> Iterator[Http2Caller]:
    with running.connect() as channel:
        yield Http2Caller(channel, window)


def frames_of(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of each whole frame."""
    found, at = [], 0
    while len(data) - at >= frames.HEAD_SIZE:
        word, flags, stream = frames.HEAD.unpack_from(data, at)
        end = at + frames.HEAD_SIZE + (word >> 8)
        found.append((word & 0xFF, flags, stream, data[at + frames.HEAD_SIZE : end]))
        at = end
    return found


def raw(running: Running, data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Everything that comes back until the server ends the connection, or says no more for a while."""
    received = b""
    with running.connect() as channel:
        channel.sendall(PREFACE + data)
        channel.settimeout(1.0)
        try:
            while part := channel.recv(65536):
                received += part
        except TimeoutError:
            return frames_of(received)
    return frames_of(received)


def goaway_code(running: Running, data: bytes) -> int | None:
    said = [payload for kind, _, _, payload in raw(running, data) if kind == frames.GOAWAY]
    return frames.read_u32(said[-1][4:]) if said else None


def reset_code(running: Running, data: bytes, stream: int = 1) -> int | None:
    ping = frames.frame(frames.PING, 0, 0, b"the end.")
    with running.connect() as channel:
        channel.sendall(PREFACE + data + ping)
        received = b""
        while b"the end." not in received:
            part = channel.recv(65536)
            assert part, "the connection ended"
            received += part
    said = [p for kind, _, number, p in frames_of(received) if kind == frames.RST_STREAM and number == stream]
    return frames.read_u32(said[-1]) if said else None
