"""Frames of HTTP/2 as bytes (RFC 9113, 4 and 6), and the two ways in which a peer can be wrong."""

import struct
from enum import IntEnum

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
HEAD_SIZE = 9
LARGEST_WINDOW = (1 << 31) - 1
SMALLEST_MAX_FRAME, LARGEST_MAX_FRAME = 1 << 14, (1 << 24) - 1
DEFAULT_WINDOW = 65535

HEAD = struct.Struct(">IBI")  # length and type in one, flags, stream
_SETTING = struct.Struct(">HI")
_U32 = struct.Struct(">I")


class Code(IntEnum):
    """Error codes (RFC 9113, 7) that are said here."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    ENHANCE_YOUR_CALM = 0xB


class Setting(IntEnum):
    """Settings (RFC 9113, 6.5.2)."""

    HEADER_TABLE_SIZE = 0x1
    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_HEADER_LIST_SIZE = 0x6


class Broken(Exception):
    """A connection error: GOAWAY with `code`, then the end."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


class Malformed(Exception):
    """A stream error: RST_STREAM with `code`."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return HEAD.pack(len(payload) << 8 | kind, flags, stream) + payload


def settings(values: dict[Setting, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in values.items()))


def goaway(last: int, code: Code, message: str = "") -> bytes:
    return frame(GOAWAY, 0, 0, _U32.pack(last) + _U32.pack(code) + message.encode()[:200])


def reset(stream: int, code: Code) -> bytes:
    return frame(RST_STREAM, 0, stream, _U32.pack(code))


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, _U32.pack(increment))


def read_u32(payload: bytes) -> int:
    return int(_U32.unpack_from(payload)[0])


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """Pairs of number and value, checked one by one."""
    if len(payload) % _SETTING.size:
        raise Broken(Code.FRAME_SIZE_ERROR, "SETTINGS of a broken length")
    pairs = list(_SETTING.iter_unpack(payload))
    for number, value in pairs:
        _check_setting(number, value)
    return pairs


def _check_setting(number: int, value: int) -> None:
    if number == Setting.ENABLE_PUSH and value > 1:
        raise Broken(Code.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
    if number == Setting.INITIAL_WINDOW_SIZE and value > LARGEST_WINDOW:
        raise Broken(Code.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE is above 2^31-1")
    if number == Setting.MAX_FRAME_SIZE and not SMALLEST_MAX_FRAME <= value <= LARGEST_MAX_FRAME:
        raise Broken(Code.PROTOCOL_ERROR, "MAX_FRAME_SIZE is not within 2^14 and 2^24-1")


def unpadded(flags: int, payload: bytes) -> bytes:
    """The payload of DATA or HEADERS without its padding."""
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Broken(Code.PROTOCOL_ERROR, "more padding than there is payload")
    return payload[1 : len(payload) - payload[0]]


def without_priority(flags: int, stream: int, payload: bytes) -> bytes:
    """The header block of HEADERS; priorities are deprecated and not looked at."""
    if not flags & WITH_PRIORITY:
        return payload
    if len(payload) < 5:
        raise Broken(Code.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
    if read_u32(payload) & LARGEST_WINDOW == stream:
        raise Broken(Code.PROTOCOL_ERROR, "a stream that depends on itself")
    return payload[5:]
