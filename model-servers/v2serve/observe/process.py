"""What the kernel says of this process: memory, processor time, descriptors; nothing where there is no /proc."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from v2serve.observe.exposition import Family, Sample

_VIRTUAL = Family("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.")
_RESIDENT = Family("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.")
_STARTED = Family(
    "process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds."
)
_SECONDS = Family("process_cpu_seconds", "counter", "Total user and system CPU time spent in seconds.")
_OPEN = Family("process_open_fds", "gauge", "Number of open file descriptors.")
_MOST = Family("process_max_fds", "gauge", "Maximum number of open file descriptors.")


class Process:
    """The process_ metrics as every client library of Prometheus names them; proc(5) says the fields."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._own = proc / "self"
        self._boot = _boot_time(proc / "stat")

    def samples(self) -> Iterator[Sample]:
        try:
            text = (self._own / "stat").read_text()
            descriptors = sum(1 for _ in (self._own / "fd").iterdir())
        except OSError:  # not Linux, or the descriptors have run out: the other metrics still tell
            return
        fields = text.rpartition(")")[2].split()  # the name before may hold anything
        ticks = os.sysconf("SC_CLK_TCK")
        yield Sample(_VIRTUAL, "", int(fields[20]))
        yield Sample(_RESIDENT, "", int(fields[21]) * resource.getpagesize())
        yield Sample(_STARTED, "", self._boot + int(fields[19]) / ticks)
        yield Sample(_SECONDS, "", (int(fields[11]) + int(fields[12])) / ticks)
        yield Sample(_OPEN, "", descriptors)
        yield Sample(_MOST, "", resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _boot_time(stat: Path) -> float:
    try:
        lines = stat.read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith("btime ")), 0.0)
