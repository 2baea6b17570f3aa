"""How many cores a container allows, whatever the host has."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.cores import threads_each, usable_cores

HOST = 64


def container(root: Path, files: dict[str, str], group: str) -> int:
    """The cores that a process of *group* may use where the system says *files*."""
    for name, content in {"proc/self/cgroup": group, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return usable_cores(root=root, affinity=HOST)


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("200000 100000", 2),
        ("250000 100000", 3),
        ("50000 100000", 1),
        ("max 100000", HOST),
        ("", HOST),
        ("nonsense", HOST),
        ("100000 0", HOST),
        ("9900000 100000", HOST),
    ],
)
def test_cgroup_2(tmp_path: Path, quota: str, cores: int) -> None:
    """The quota of version 2 counts, rounded up; what cannot be read is no quota."""
    assert container(tmp_path, {"sys/fs/cgroup/cpu.max": quota}, "0::/\n") == cores


def test_nested_groups(tmp_path: Path) -> None:
    """The tightest group on the way up counts, whichever it is."""
    files = {
        "sys/fs/cgroup/system.slice/cpu.max": "400000 100000",
        "sys/fs/cgroup/system.slice/shipway.service/cpu.max": "max 100000",
    }
    group = "0::/system.slice/shipway.service\n"
    assert container(tmp_path, files, group) == 4
    (tmp_path / "sys/fs/cgroup/system.slice/shipway.service/cpu.max").write_text("100000 50000")
    assert usable_cores(root=tmp_path, affinity=HOST) == 2


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
def test_cgroup_1(tmp_path: Path, mount: str) -> None:
    """The quota of version 1 counts, under either name of its mount; -1 is no quota."""
    folder = f"sys/fs/cgroup/{mount}/docker/abc"
    files = {f"{folder}/cpu.cfs_quota_us": "300000", f"{folder}/cpu.cfs_period_us": "100000"}
    group = "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n"
    assert container(tmp_path, files, group) == 3
    (tmp_path / folder / "cpu.cfs_quota_us").write_text("-1")
    assert usable_cores(root=tmp_path, affinity=HOST) == HOST


def test_inside_a_container(tmp_path: Path) -> None:
    """A group that is named from outside and mounted from inside is found at the mount itself."""
    files = {"sys/fs/cgroup/cpu.max": "100000 100000"}
    assert container(tmp_path, files, "0::/kubepods/pod1/abc\n") == 1


def test_affinity(tmp_path: Path) -> None:
    """Cores that the scheduler does not allow do not count, whatever the quota."""
    assert container(tmp_path, {"sys/fs/cgroup/cpu.max": "800000 100000"}, "0::/\n") == 8
    assert usable_cores(root=tmp_path, affinity=3) == 3


def test_a_system_that_says_nothing(tmp_path: Path) -> None:
    """Without control groups the affinity counts, and there is always one core."""
    assert usable_cores(root=tmp_path, affinity=7) == 7
    assert usable_cores(root=tmp_path, affinity=0) == 1
    assert usable_cores() >= 1


def test_threads_are_shared() -> None:
    """Processes share the cores; each may have at least one thread."""
    assert [threads_each(workers, 8) for workers in (1, 2, 3, 8, 9, 0)] == [8, 4, 2, 1, 1, 8]
