"""Some at once, in threads that a signal does not have to wait for."""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Stopping:
    """Told to all when one has failed."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def check(self) -> None:
        """Raises Stopped where the work of the others is of no use any more."""
        if self._event.is_set():
            raise Stopped


class Stopped(Exception):
    """Another one failed, and says why."""


def in_parallel(items: Sequence[T], work: Callable[[T, Stopping], None], at_once: int) -> None:
    """Do each, at most so many at a time; raises the first failure after the others have stopped.

    The threads are daemons: an exception from a signal leaves at once, and the process may end without them.
    """
    waiting: queue.SimpleQueue[T] = queue.SimpleQueue()
    for item in items:
        waiting.put(item)
    stopping, ended = Stopping(), queue.SimpleQueue[Exception | None]()

    def run() -> None:
        try:
            while True:
                stopping.check()
                work(waiting.get_nowait(), stopping)
        except (queue.Empty, Stopped):
            ended.put(None)
        except Exception as error:
            stopping.set()
            ended.put(error)

    threads = min(at_once, len(items))
    for number in range(threads):
        threading.Thread(target=run, name=f"fetch-{number}", daemon=True).start()
    try:
        failures = [error for error in (ended.get() for _ in range(threads)) if error]
    finally:
        stopping.set()
    if failures:
        raise failures[0]
