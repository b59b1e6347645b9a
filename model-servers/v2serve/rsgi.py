"""The part of RSGI, granian's interface to an application, that v2serve uses."""

from collections.abc import Awaitable
from typing import Protocol


class Headers(Protocol):
    def get(self, key: str, default: str | None = None) -> str | None: ...


class Scope(Protocol):
    method: str
    path: str

    @property
    def headers(self) -> Headers: ...


class Exchange(Protocol):
    """RSGI's HTTP protocol object: the body in, the response out."""

    def __call__(self) -> Awaitable[bytes]: ...
    def __aiter__(self) -> "Exchange": ...
    async def __anext__(self) -> bytes: ...
    def response_bytes(
        self, status: int, headers: list[tuple[str, str]], body: bytes | bytearray
    ) -> None: ...
