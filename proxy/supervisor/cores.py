"""How many cores the host grants this process: its affinity, and the CPU quota of its container.

A quota is a share of time, not of cores: a container with two cores' worth of it sees all cores of
the host, and with a worker for each of them all are stopped together, for most of each period. The
quota of a control group holds for all below it, so the tightest on the way up counts: `cpu.max` of
version 2, `cpu.cfs_quota_us` of version 1, as far up as a container can see.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

PROC = Path("/proc/self")
UNIFIED = "cgroup2"  # file system types
SPLIT = "cgroup"


class Mount(NamedTuple):
    """One hierarchy of control groups, as far as it is mounted here."""

    kind: str
    root: str  # which of its groups is seen at the top
    top: Path
    options: tuple[str, ...]


def cores_granted(proc: Path = PROC) -> int:
    """At least 1; a part of a core counts as one. `proc` tells of groups and mounts."""
    cores = len(os.sched_getaffinity(0))
    with suppress(OSError):
        cores = min([cores, *(math.ceil(quota) for quota in _quotas(proc))])
    return max(1, cores)


def _quotas(proc: Path) -> Iterator[float]:
    """All that hold for this process, in cores."""
    mounts = list(_mounts((proc / "mountinfo").read_text()))
    for line in (proc / "cgroup").read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        for mount in mounts:
            if mount.kind == (SPLIT if controllers else UNIFIED):
                if controllers and not ("cpu" in controllers.split(",") and "cpu" in mount.options):
                    continue
                for folder in _upward(mount, group):
                    with suppress(OSError, ValueError, ZeroDivisionError):
                        yield _quota_of(folder, mount.kind)


def _mounts(text: str) -> Iterator[Mount]:
    """proc(5): ... root, mount point, options, perhaps more, a hyphen, type, source, options."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, _, options) = before.split(" "), after.split(" ")[:3]
        if kind in (UNIFIED, SPLIT):
            yield Mount(kind, _plain(fields[3]), Path(_plain(fields[4])), tuple(options.split(",")))


def _plain(escaped: str) -> str:
    """The kernel writes blanks and the like as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), escaped)


def _upward(mount: Mount, group: str) -> Iterator[Path]:
    """The folder of a group and those of the groups that it is in, where they are seen."""
    try:
        below = PurePosixPath(group).relative_to(mount.root)
    except ValueError:  # the group was moved, or lies above what a namespace shows
        below = PurePosixPath()
    if ".." in below.parts:
        below = PurePosixPath()
    for part in (below, *below.parents):
        yield mount.top / part


def _quota_of(folder: Path, kind: str) -> float:
    """Time over period; raises ValueError where there is no limit, OSError without the file."""
    if kind == UNIFIED:
        time, period = (folder / "cpu.max").read_text().split()
    else:
        time = (folder / "cpu.cfs_quota_us").read_text()
        period = (folder / "cpu.cfs_period_us").read_text()
    cores = float(time) / float(period)
    if not 0 < cores < math.inf:  # -1, or "max" is no number
        raise ValueError(f"no quota: {time}")
    return cores
