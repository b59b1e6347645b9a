"""How far a fetch is: one line that is written over on a terminal, one line for each file elsewhere."""

import threading
import time
from typing import TextIO

_PAUSE = 0.2  # seconds between two updates of a terminal
_MEBI = 1 << 20


class Progress:
    """What `fetch` tells, as a person or a log reads it; called from several threads."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._overwrites = stream.isatty()
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._shown = 0.0

    def __call__(self, path: str, size: int, verified: bool) -> None:
        with self._lock:
            self._sizes[path] = size
            if self._overwrites:
                self._terminal()
            elif verified:
                self._write(f"v2serve: {path}: {_amount(size)} verified\n")

    def end(self) -> None:
        """Leave the terminal's line empty."""
        if self._overwrites and self._shown:
            self._write("\r\x1b[K")

    def _terminal(self) -> None:
        now = time.monotonic()
        if now - self._shown >= _PAUSE:
            self._shown = now
            self._write(f"\r\x1b[Kv2serve: {len(self._sizes)} files, {_amount(sum(self._sizes.values()))}")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _amount(size: int) -> str:
    return f"{size / _MEBI:.1f} MiB" if size >= _MEBI else f"{size} bytes"
