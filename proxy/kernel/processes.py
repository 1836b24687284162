"""Processes of this host as proc(5) tells them: processor time, memory, descriptors, libraries.

Time and memory any process may read; descriptors and libraries only those of the same user
(ptrace(2)), and not of one that has changed its user since it began. All functions raise OSError
for a process that is gone, that does not show what is asked, or where /proc is not there (a
chroot); so does the first step of an iterator.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from proxy.kernel.refusals import PROC

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
STATE_FIELD, USER_FIELD, SYSTEM_FIELD, PROCESSOR_FIELD = 0, 11, 12, 36  # behind the name
CLOCK_OF_PROCESS = 2  # <linux/posix-timers.h>: (~pid << 3) | CPUCLOCK_SCHED
EXECUTABLE = "x"  # of a mapping's flags
GONE = " (deleted)"
MEMORY = {"RssAnon": "private", "RssFile": "files", "RssShmem": "shared", "VmSwap": "swapped"}


def hiding_reason(error: OSError, pid: int) -> str:
    """Why a process does not show something, and what to do then."""
    if isinstance(error, PermissionError):
        return f"the program has changed its user: root alone may see it in /proc/{pid}"
    return "it has ended, or there is no /proc in the chroot"


class ThreadUse(NamedTuple):
    """One thread of a process."""

    thread: int
    state: str  # the kernel's letter: R runs, S sleeps, D waits for a device, T is stopped
    cpu_ns: int  # processor time since it began
    waited_ns: int  # how long it was ready while others had the processor; 0: not told
    processor: int  # where it ran last


class MemoryUse(NamedTuple):
    """Bytes of a process that are in memory, and those that were moved to a swap device."""

    private: int = 0
    files: int = 0  # programs and libraries
    shared: int = 0  # with other processes
    swapped: int = 0


class LoadedFile(NamedTuple):
    """A program or library in the memory of a process."""

    path: str
    first: int  # address
    last: int
    gone: bool  # the file of this name is another one by now, or there is none


def processor_ns(pid: int) -> int:
    """Processor time of a process since it began, without /proc; raises OSError: it is gone."""
    return time.clock_gettime_ns((~pid << 3) | CLOCK_OF_PROCESS)


def threads(pid: int) -> list[ThreadUse]:
    """The threads of a process, its first one before the others."""
    folder = PROC / str(pid) / "task"
    found = []
    for thread in sorted(int(entry.name) for entry in folder.iterdir()):
        try:
            text = (folder / str(thread) / "stat").read_text()
        except FileNotFoundError:
            continue  # it ended a moment ago
        fields = text.rpartition(") ")[2].split()
        ticks = int(fields[USER_FIELD]) + int(fields[SYSTEM_FIELD])
        cpu_ns, waited_ns = ticks * TICK_NS, 0
        with suppress(OSError):  # not every kernel counts so exactly
            words = (folder / str(thread) / "schedstat").read_text().split()
            cpu_ns, waited_ns = int(words[0]), int(words[1])
        processor = int(fields[PROCESSOR_FIELD])
        found.append(ThreadUse(thread, fields[STATE_FIELD], cpu_ns, waited_ns, processor))
    return found


def memory(pid: int) -> MemoryUse:
    """What a process has in memory."""
    found = {}
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        name, _, text = line.partition(":")
        if name in MEMORY:
            found[MEMORY[name]] = int(text.split()[0]) * 1024
    return MemoryUse(**found)


def descriptor_links(pid: int) -> Iterator[tuple[int, str]]:
    """Each descriptor of a process with what it leads to, as `socket:[4711]`, lowest first."""
    folder = f"{PROC}/{pid}/fd"
    with os.scandir(folder) as entries:
        numbers = sorted(int(entry.name) for entry in entries)
    for descriptor in numbers:
        try:
            yield descriptor, os.readlink(f"{folder}/{descriptor}")  # noqa: PTH115 (ten times as fast)
        except FileNotFoundError:
            continue  # it was closed a moment ago


def loaded_files(pid: int) -> tuple[LoadedFile, ...]:
    """Programs and libraries that a process has loaded, by address."""
    spans: dict[str, tuple[int, int]] = {}
    runs: set[str] = set()
    for line in (PROC / str(pid) / "maps").read_text().splitlines():
        words = line.split(maxsplit=5)
        if len(words) < 6 or not words[5].startswith("/"):
            continue
        first, _, last = words[0].partition("-")
        path = words[5]
        known = spans.get(path, (int(first, 16), 0))
        spans[path] = (known[0], int(last, 16) - 1)
        if EXECUTABLE in words[1]:
            runs.add(path)
    return tuple(
        LoadedFile(path.removesuffix(GONE), first, last, path.endswith(GONE))
        for path, (first, last) in spans.items()
        if path in runs
    )
