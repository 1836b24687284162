"""Ends whatever is left of a session: the programs of a runner, and what they have started.

A runner leads a session of its own. Each program has a process group in it, and what programs start
stays in it, whichever group, unless it calls setsid(2) itself: so the session says what belongs to
the runner from the instruction on that made a process, and also when the runner is dead.

Knows nothing of checks.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

PROCESSES = "/proc"
DEAD = (b"Z", b"X")


def open_processes() -> int:
    """A descriptor of /proc, which is good behind a chroot, too; raises OSError."""
    return os.open(PROCESSES, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def end_session(processes: int, session: int, spared: int = 0) -> int:
    """Kill every process of a session but one; how many it were that could be killed.

    What one of them starts meanwhile may be missed: all are gone when it says 0.
    """
    killed = 0
    for pid in _pids(processes):
        if pid != spared and _session_of(processes, pid) == session:
            with suppress(ProcessLookupError, PermissionError):
                killed += _kill(processes, pid, session)
    return killed


def _kill(processes: int, pid: int, session: int) -> bool:
    """Kill a member of a session, and no other process that has its number by now."""
    descriptor = os.pidfd_open(pid)
    try:
        is_member = _session_of(processes, pid) == session
        if is_member:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        return is_member
    finally:
        os.close(descriptor)


def _pids(processes: int) -> list[int]:
    """All processes; read through a descriptor of its own, because the position is shared."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    folder = os.open(".", flags, dir_fd=processes)
    try:
        names = os.listdir(folder)  # noqa: PTH208 (no path leads there)
        return [int(name) for name in names if name.isdigit()]
    finally:
        os.close(folder)


def _session_of(processes: int, pid: int) -> int | None:
    """The session of a process (proc(5), stat); None for one that has ended."""
    content = b""
    with suppress(OSError):
        descriptor = os.open(f"{pid}/stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=processes)
        try:
            content = os.read(descriptor, 4096)
        finally:
            os.close(descriptor)
    fields = content.rpartition(b")")[2].split()
    return int(fields[3]) if len(fields) > 3 and fields[0] not in DEAD else None
