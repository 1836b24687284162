"""CPU time and memory of a whole process tree, read from /proc.

Owns the accounting only: knows pids, not their program. A tree is listed at each reading, so
children forked meanwhile count; the time of a child that has ended and was waited for is in its
parent's `cutime` and `cstime`, so it counts once. proc(5) describes the files.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

# Fields of /proc/<pid>/stat, counted from the one after the closing bracket of the command name.
PARENT_FIELD = 1
CPU_TIME_FIELDS = slice(11, 15)  # utime, stime, cutime, cstime
START_TIME_FIELD = 19


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """One process in /proc/<pid>/stat; `start_time` distinguishes processes with one pid."""

    pid: int
    parent: int
    cpu_seconds: float
    start_time: int


def read_stat(pid: int) -> ProcessStat | None:
    """The process's state now, or None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    ticks = sum(int(field) for field in fields[CPU_TIME_FIELDS])
    return ProcessStat(
        pid=pid,
        parent=int(fields[PARENT_FIELD]),
        cpu_seconds=ticks / TICKS_PER_SECOND,
        start_time=int(fields[START_TIME_FIELD]),
    )


def process_tree(root: int) -> list[ProcessStat]:
    """The process `root` and all its living descendants, parents before children."""
    children: defaultdict[int, list[ProcessStat]] = defaultdict(list)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := read_stat(int(entry.name))) is not None:
            children[stat.parent].append(stat)
            if stat.pid == root:
                found.append(stat)
    for stat in found:  # grows while it is walked: breadth first
        found.extend(children[stat.pid])
    return found


def tree_cpu_seconds(root: int) -> float:
    """User and system time of the tree since its start, in seconds; steps of one clock tick."""
    return sum(stat.cpu_seconds for stat in process_tree(root))


def tree_run_seconds(root: int) -> float:
    """CPU time of the living threads of the tree, in seconds; steps of a nanosecond.

    For an idle tree, which uses less than a clock tick. The time of ended threads and children is
    not included.
    """
    return sum(run_seconds(stat.pid) for stat in process_tree(root))


def run_seconds(pid: int) -> float:
    """The same of one process."""
    return sum(_run_nanoseconds(task) for task in _tasks(pid)) / 1e9


def _run_nanoseconds(task: Path) -> int:
    try:
        return int((task / "schedstat").read_text(encoding="ascii").split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def tree_wakeups(root: int) -> int:
    """How often the living threads of the tree have gone to sleep since their start."""
    return sum(_sleeps(task) for stat in process_tree(root) for task in _tasks(stat.pid))


def _sleeps(task: Path) -> int:
    try:
        lines = (task / "status").read_text(encoding="ascii", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    prefix = "voluntary_ctxt_switches:"
    return next((int(line.split()[1]) for line in lines if line.startswith(prefix)), 0)


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").glob("*"))


def tree_pss_bytes(root: int) -> int:
    """Proportional set size of the tree in bytes: shared pages are divided among their users."""
    return sum(_rollup(stat.pid)["Pss"] for stat in process_tree(root))


def tree_private_bytes(root: int) -> int:
    """The PSS without file pages, in bytes: heap, stacks, shared memory.

    For differences: file pages are divided among all programs of the machine that map the same
    libraries, so their share changes when another program starts or ends.
    """
    return sum(private_bytes(stat.pid) for stat in process_tree(root))


def private_bytes(pid: int) -> int:
    """The same of one process."""
    rollup = _rollup(pid)
    return rollup["Pss_Anon"] + rollup["Pss_Shmem"]


def _rollup(pid: int) -> defaultdict[str, int]:
    """The sizes in /proc/<pid>/smaps_rollup in bytes; zeros for an ended process."""
    sizes: defaultdict[str, int] = defaultdict(int)
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return sizes
    for line in lines[1:]:
        name, size, _ = line.split()
        sizes[name.rstrip(":")] = int(size) * 1024
    return sizes
