"""What people see: tables, one line a step, and errors; nothing of it is imported before it is shown."""

import shutil
import sys
import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

# What is read or copied as one word is never broken over lines.
_WHOLE = frozenset(
    (
        "model",
        "role",
        "ver",
        "digest",
        "commit",
        "address",
        "p95",
        "traffic",
        "server",
        "health",
        "at",
        "action",
        "state",
    )
)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table that fits the terminal; in a pipe as wide as it needs to be, and without lines."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=width())
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        shown.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
    for row in rows:
        shown.add_row(*("" if cell is None else str(cell) for cell in row))
    console.print(shown, markup=False, highlight=False)


def width() -> int:
    """Columns of the terminal; a pipe has as many as it takes."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 240


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def complain(text: str) -> None:
    sys.stderr.write(f"mainline: {text}\n")


class Steps:
    """Progress of a long verb on stderr: a spinner a running step on a terminal, one line a finished one anywhere."""

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._lock = threading.Lock()
        self._console = Console(stderr=True, highlight=False)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._progress = Progress(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal
        )
        self._running: dict[str, Any] = {}
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, name: str, detail: str) -> None:
        with self._lock:
            text = f"{name:<26} {detail[:80]}"
            if name in self._running:
                self._progress.update(self._running[name], description=text)
            else:
                self._running[name] = self._progress.add_task(text, total=None)

    def note(self, name: str, detail: str) -> None:
        """A line that a log keeps; on a terminal the spinner shows it."""
        if not self._console.is_terminal:
            self._console.print(f"{name:<26} {detail}", markup=False, soft_wrap=True)

    def done(self, name: str, detail: str) -> None:
        with self._lock:
            task = self._running.pop(name, None)
            taken = ""
            if task is not None:
                elapsed = next(t.elapsed for t in self._progress.tasks if t.id == task)
                taken = f"{elapsed or 0:5.1f} s"
                self._progress.remove_task(task)
            self._console.print(f"{name:<26} {detail:<60} {taken}".rstrip(), markup=False, soft_wrap=True)
