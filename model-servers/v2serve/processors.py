"""How many processors this process may use: the affinity mask and the CPU limit of its control group."""

import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def threads_of_cpu_limit(root: Path = _ROOT, processors: int | None = None) -> int:
    """Whole processors, at least 1: a thread more than the limit allows makes all of them wait for the next period."""
    available = len(os.sched_getaffinity(0)) if processors is None else processors
    return max(1, int(min([available, *_limits(root)])))


def _limits(root: Path) -> Iterator[float]:
    """The limit of each control group around this process, in processors (cgroup v2, then v1)."""
    for controllers, group in _groups(root / "proc/self/cgroup"):
        mount = root / "sys/fs/cgroup"
        if not controllers:
            yield from _quotas(mount, group, "cpu.max")
        elif "cpu" in controllers.split(","):
            # Whatever the mount is called, "cpu" is a link to it.
            yield from _quotas(mount / "cpu", group, "cpu.cfs_quota_us", "cpu.cfs_period_us")


def _groups(path: Path) -> Iterator[tuple[str, str]]:
    """Lines such as "0::/kubepods/pod1" and "4:cpu,cpuacct:/docker/abc"."""
    for line in _words(path, "\n"):
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        yield controllers, group.strip("/")


def _quotas(mount: Path, group: str, *files: str) -> Iterator[float]:
    """Of the group and all above it; in a container the group's path may be the host's, and only the mount is there."""
    inner = mount / group
    for folder in [inner, *inner.parents]:
        words = [word for file in files for word in _words(folder / file)]
        if len(words) >= 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
            yield int(words[0]) / int(words[1])
        if folder == mount:
            return


def _words(path: Path, separator: str | None = None) -> list[str]:
    try:
        return path.read_text().strip().split(separator)
    except OSError:  # no such control group: no such limit
        return []
