"""How children are signalled, and how their ends are taken; nothing here waits without a limit.

The kernel may keep an end back: a tracer (strace, a debugger) is told before the parent, and until
it lets go the parent gets nothing, though the pidfd says that the process has ended. A killed
process may also hang in the kernel. Such a child is left behind, and looked for again each tick.

There are children that were not forked here: as PID 1 the program inherits all orphans, and what
executed it may have had some. Their ends are taken, too, and never that of an own child by mistake:
those are numbered in `_own` from their fork until their end was taken.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from typing import NamedTuple

from proxy.supervisor.limits import KILL_WAIT_MS

FOSTERED = 1_000  # no status, but that of a child whose end another process takes
_own: set[int] = set()
_fostered: set[int] = set()  # children of the process that this one is a fork of
_left: set[int] = set()  # pids of children that have ended or must: no other gets such a number


class Process(NamedTuple):
    """A forked child: its pid and a descriptor that is readable once it has ended."""

    pid: int
    pidfd: int


def own(pid: int) -> None:
    """A child was forked here: the owner of its `Process` takes its end."""
    _own.add(pid)


def foster() -> None:
    """In a fork that goes on with them: the children until now stay the other process's."""
    _fostered.update(_own)
    _own.clear()


def reap(process: Process) -> int | None:
    """The exit status of an ended child (negative: minus the signal), None when there is none yet.

    None also where the end was taken elsewhere. The pidfd stays open.
    """
    try:
        result = os.waitid(os.P_PIDFD, process.pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return FOSTERED if process.pid in _fostered else None
    if result is None:
        return None
    _own.discard(process.pid)
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


def is_stopped(process: Process) -> bool:
    """True once for each time the child was stopped by a signal (SIGSTOP, a debugger)."""
    try:
        result = os.waitid(os.P_PIDFD, process.pidfd, os.WSTOPPED | os.WNOHANG)
    except ChildProcessError:  # it has ended, which its pidfd tells, too
        return False
    return result is not None and result.si_code == os.CLD_STOPPED


def send(process: Process, number: signal.Signals) -> None:
    """Signal a child; one that has just ended is no error."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process.pidfd, number)


def kill_and_reap(process: Process) -> None:
    """End a child at once; leave it behind if that takes long. Its pidfd is closed in any case."""
    taken = False
    try:
        send(process, signal.SIGKILL)
        poll = select.poll()
        poll.register(process.pidfd, select.POLLIN)
        poll.poll(KILL_WAIT_MS)
        taken = reap(process) is not None
    finally:
        if not taken:
            leave(process.pid)
        os.close(process.pidfd)


def kill(process: Process) -> None:
    """End a child at once, without waiting for its end. Its pidfd is closed in any case.

    May be called again when it raised.
    """
    if process.pid in _left:
        return
    taken = False
    try:
        send(process, signal.SIGKILL)
        taken = reap(process) is not None
    finally:
        if not taken:
            leave(process.pid)
        os.close(process.pidfd)


def leave(pid: int) -> None:
    """A child that has ended or was killed: `look_again` takes its end when there is one."""
    _left.add(pid)


def look_again() -> None:
    """Take the ends that have come of children left behind."""
    for pid in tuple(_left):
        try:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is None:
                continue
        except ChildProcessError:  # it was taken elsewhere
            pass
        _left.discard(pid)
        _own.discard(pid)


def reap_strangers() -> None:
    """Take the ends of children that were not forked here, as far as none of ours comes first."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # there is no child at all
            return
        if ended is None or ended.si_pid in _own:
            return
        os.waitid(os.P_PID, ended.si_pid, os.WEXITED | os.WNOHANG)
