"""A request to stop, as it reaches code that must not mistake it for a fault of its own."""

from types import FrameType
from typing import NoReturn

_told: list[int] = []


class Stopped(SystemExit):
    """SIGTERM or SIGINT before the server answers; unlike SystemExit, it is never a model's own doing."""


def stop(number: int, _: FrameType | None = None) -> NoReturn:
    """The handler of a signal: remembered, since reviewed code may catch what it raises."""
    _told.append(number)
    raise Stopped(128 + number)


def check_stop() -> None:
    """Raise Stopped if somebody has asked for it."""
    if _told:
        raise Stopped(128 + _told[0])
