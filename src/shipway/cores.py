"""How many processor cores this process may use: what its container says, not what the host has.

The smallest of what the scheduler's affinity (and with it a cpuset), and the quotas of every
control group above this process allow. Containers set quotas (``cpus: 2``), and libraries that
size their threads by the host's cores then wait for each other.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def usable_cores(*, root: Path = _ROOT, affinity: int | None = None) -> int:
    """At least 1; a quota of two and a half cores counts as three, one of a half as one.

    *root* is the file system that is asked; *affinity* how many cores the scheduler allows, which
    is asked of the system when it is None.
    """
    allowed = float(_affinity() if affinity is None else affinity)
    for quota in _quotas(root):
        allowed = min(allowed, quota)
    return max(1, math.ceil(allowed))


def threads_each(processes: int, cores: int) -> int:
    """Threads for each of *processes* that share *cores*: at least one.

    >>> threads_each(1, 8), threads_each(3, 8), threads_each(16, 8)
    (8, 2, 1)
    """
    return max(1, cores // max(1, processes))


def _affinity() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not Linux
        return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Cores that each control group from this process' own up to the highest allows."""
    for controllers, group in _groups(root):
        if not controllers:
            for folder in _upwards(root / "sys/fs/cgroup", group):
                yield from _quota_v2(folder)
        elif "cpu" in controllers:
            mounts = (",".join(controllers), "cpu,cpuacct", "cpu")
            for mount in dict.fromkeys(mounts):
                for folder in _upwards(root / "sys/fs/cgroup" / mount, group):
                    yield from _quota_v1(folder)


def _groups(root: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """Of ``/proc/self/cgroup``: controllers (none is version 2) and the path of the group."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, group = rest.partition(":")
        if colon:
            yield tuple(name for name in controllers.split(",") if name), group


def _upwards(mount: Path, group: str) -> Iterator[Path]:
    """The folder of *group* under *mount* and those above it.

    Inside a container the group's path is the host's, and the mount shows its own part alone:
    folders that are not there are passed over.
    """
    parts = [part for part in group.split("/") if part not in {"", ".."}]
    for length in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:length])


def _quota_v2(folder: Path) -> Iterator[float]:
    """``cpu.max``: microseconds (or ``max``) in each period."""
    words = _read(folder / "cpu.max").split()
    if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
        yield int(words[0]) / int(words[1])


def _quota_v1(folder: Path) -> Iterator[float]:
    """``cpu.cfs_quota_us`` in each ``cpu.cfs_period_us``; -1 is no quota."""
    quota = _read(folder / "cpu.cfs_quota_us").strip()
    period = _read(folder / "cpu.cfs_period_us").strip()
    if quota.isdigit() and period.isdigit() and int(quota) and int(period):
        yield int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
