"""Whose turn it is in a model.py that runs in one thread at a time: any call's before an explanation's."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition
from time import perf_counter

from v2serve.protocol import Refusal


class Turns:
    """`waited`: seconds that explanations have waited; only their one thread writes it.

    Where none are `needed`, because model.py is absent or runs in several threads anyway, nobody waits.
    """

    def __init__(self, needed: bool = False) -> None:
        self.waited = 0.0
        self._needed = needed
        self._changed = Condition()
        self._taken = False
        self._wanted = 0  # calls that wait

    @contextmanager
    def first(self) -> Iterator[None]:
        """A call's turn: it waits for the turn that has begun, and for no other."""
        if not self._needed:
            yield
            return
        with self._changed:
            self._wanted += 1
            self._changed.wait_for(lambda: not self._taken)
            self._wanted -= 1
            self._taken = True
        yield from self._turn()

    @contextmanager
    def behind(self, seconds: float) -> Iterator[None]:
        """An explanation's turn, once no call wants its own; Refusal 503 if that is not within so many seconds."""
        if not self._needed:
            yield
            return
        begin = perf_counter()
        with self._changed:
            free = self._changed.wait_for(lambda: not self._taken and not self._wanted, seconds)
            self._taken = self._taken or free
        self.waited += perf_counter() - begin
        if not free:
            raise busy(seconds)
        yield from self._turn()

    def _turn(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify_all()


def busy(seconds: float) -> Refusal:
    told = f"other calls keep this model busy: no time to explain within {seconds:.1f} s; try again in 2 s"
    return Refusal(503, told, (("retry-after", "2"),))
