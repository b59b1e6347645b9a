"""Threads follow the CPU limit of the container, whichever control groups say it."""

from pathlib import Path

import pytest

from v2serve.processors import threads_of_cpu_limit


def lay(root: Path, **files: str) -> Path:
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("limit", "threads"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 1),
        ("50000 100000", 1),
        ("nonsense", 8),
        ("", 8),
    ],
)
def test_a_limit_of_cgroup_v2_is_rounded_down_to_whole_threads(
    tmp_path: Path, limit: str, threads: int
) -> None:
    lay(tmp_path, **{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": limit + "\n"})
    assert threads_of_cpu_limit(tmp_path, 8) == threads


def test_the_tightest_group_around_the_process_counts(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/pods/mine\n",
        "sys/fs/cgroup/pods/cpu.max": "300000 100000",
        "sys/fs/cgroup/pods/mine/cpu.max": "400000 100000",
    }
    assert threads_of_cpu_limit(lay(tmp_path, **files), 8) == 3


def test_in_a_container_the_path_of_the_host_may_not_exist(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/host/only\n", "sys/fs/cgroup/cpu.max": "200000 100000"}
    assert threads_of_cpu_limit(lay(tmp_path, **files), 8) == 2


@pytest.mark.parametrize(("quota", "threads"), [("200000", 2), ("-1", 8)])
def test_a_quota_of_cgroup_v1_counts(tmp_path: Path, quota: str, threads: int) -> None:
    files = {
        "proc/self/cgroup": "9:memory:/a\n4:cpu,cpuacct:/docker/a\n",
        "sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us": quota,
        "sys/fs/cgroup/cpu/docker/a/cpu.cfs_period_us": "100000",
    }
    assert threads_of_cpu_limit(lay(tmp_path, **files), 8) == threads


def test_fewer_processors_than_the_limit_count(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "800000 100000"}
    assert threads_of_cpu_limit(lay(tmp_path, **files), 2) == 2


def test_without_control_groups_there_is_at_least_one_thread(tmp_path: Path) -> None:
    assert threads_of_cpu_limit(tmp_path, 1) == 1
    assert threads_of_cpu_limit() >= 1
