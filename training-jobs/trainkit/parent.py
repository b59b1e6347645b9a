"""End with whoever started us: a pipeline that nobody watches would keep its job's folder locked."""

import os
import signal
import threading
import time

PARENT = "TRAINKIT_PARENT"  # the process id of who started us and wants to be watched
_EVERY = 0.5  # seconds


def end_with_parent() -> None:
    """If TRAINKIT_PARENT says so, a SIGTERM to ourselves once that process is gone; our children do not watch."""
    told = os.environ.pop(PARENT, "")
    if told.isdigit():
        threading.Thread(target=_watch, args=(int(told),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)
