"""One fork, its steps in the one order that works.

    block signals; fork; in the child: reset handlers and the wakeup descriptor (an inherited one
    sends the child's signals to the supervisor); close what is not its own; take its limit on
    descriptors; drop privileges; then PR_SET_PDEATHSIG (setuid clears it) and a look at getppid
    (the parent may be gone already); set the title; unblock; run.

Knows nothing of what a child does. A child never returns from here: it ends by os._exit, so no
destructor of the supervisor's objects ever runs in it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import traceback
from collections.abc import Callable, Collection

import setproctitle

from proxy.supervisor.faults import last_words
from proxy.supervisor.privileges import UNCHANGED, Privileges
from proxy.supervisor.reaping import Process, leave, own
from proxy.terminal import STANDARD_DESCRIPTORS, say

PR_SET_PDEATHSIG = 1  # prctl(2)
# A terminal sends its signals to the whole group: the supervisor alone decides what they mean.
IGNORED = (
    *(signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE),
    *(signal.SIGQUIT, signal.SIGTTOU, signal.SIGTTIN),
)
DESCRIPTOR_MAX = 1 << 30  # the kernel gives no higher one
DEFAULT = (signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM)

_libc = ctypes.CDLL(None, use_errno=True)


def fork_child(
    body: Callable[[], object],
    *,
    title: str,
    keep: Collection[int],
    privileges: Privileges = UNCHANGED,
    descriptors: int | None = None,
) -> Process:
    """Fork a child that runs `body` and ends; raises OSError when the kernel refuses.

    The child has the descriptors of `keep` and the standard ones, nothing else; `descriptors` is
    its limit on them, None that of the supervisor.
    """
    parent = os.getpid()
    pid, pidfd = 0, -1
    former = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _run_child(body, title, keep, privileges, descriptors=descriptors, parent=parent)
        own(pid)
        pidfd = os.pidfd_open(pid)
        process = Process(pid, pidfd)
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
    except BaseException:  # as without a descriptor: a child that is not watched must not run on
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
        if pid > 0:
            os.kill(pid, signal.SIGKILL)
            leave(pid)
        if pidfd >= 0:
            os.close(pidfd)
        raise
    return process


def _run_child(
    body: Callable[[], object],
    title: str,
    keep: Collection[int],
    privileges: Privileges,
    *,
    descriptors: int | None,
    parent: int,
) -> None:
    """The child's side; never returns."""
    status = 1
    try:
        _reset_signals()
        _close_all_but({*STANDARD_DESCRIPTORS, *keep})
        if descriptors is not None:
            _limit_descriptors(descriptors)
        privileges.drop()
        _die_with(parent)
        setproctitle.setproctitle(title)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        body()
        status = 0
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else 1
    except (MemoryError, OSError) as error:
        say(f"{title} failed: {last_words(error)}\n")
    except BaseException:
        # No caller can handle it: the supervisor sees the exit status, the operator the text.
        say(f"{title} failed:\n{traceback.format_exc()}")
    finally:
        os._exit(status)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in DEFAULT:
        signal.signal(number, signal.SIG_DFL)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)


def _close_all_but(keep: Collection[int]) -> None:
    """One system call for each gap: nothing is listed, whatever the number of descriptors."""
    first = 0
    for descriptor in (*sorted(set(keep)), DESCRIPTOR_MAX):
        if first < descriptor:
            os.closerange(first, descriptor)
        first = descriptor + 1


def _limit_descriptors(descriptors: int) -> None:
    """The hard limit stays: the supervisor has raised it where it had to be."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))


def _die_with(parent: int) -> None:
    """Be killed when the supervisor dies, also if it died a moment ago."""
    if _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(0)
