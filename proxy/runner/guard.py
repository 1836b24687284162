"""The guard of a runner: outlives it by the moment that it takes to end its programs.

The supervisor ends what a dead runner has left. The guard does so where the supervisor cannot,
because it was killed itself and the kernel has killed the runner for that (PR_SET_PDEATHSIG).
Neither waits for the other, and whichever comes first leaves the other nothing to do.

It belongs to the runner's session, so that the supervisor ends it with the rest.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress

import setproctitle

from proxy.runner.session import end_session

TITLE = "millrace: guard of the runner"
PAUSE_MS = 10  # between two looks at what is left
LOOKS_MAX = 1_000  # what the kernel does not let go by then may be its own
DESCRIPTOR_MAX = 1 << 30  # the kernel gives no higher one


def start_guard(processes: int) -> int:
    """Fork it; the descriptor says when it has ended. Raises OSError when the kernel refuses.

    `processes` is a descriptor of /proc. The caller leads its session and has one thread.
    """
    runner = os.pidfd_open(os.getpid())
    try:
        pid = os.fork()
        if pid == 0:
            _run(runner, processes)
        return os.pidfd_open(pid)
    finally:
        os.close(runner)


def _run(runner: int, processes: int) -> None:
    """The guard's side; never returns."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a word for the runner
        setproctitle.setproctitle(TITLE)
        first = 0
        for kept in sorted((runner, processes)):
            os.closerange(first, kept)
            first = kept + 1
        os.closerange(first, DESCRIPTOR_MAX)
        poll = select.poll()
        poll.register(runner, select.POLLIN)
        poll.poll()
        _end_all(processes)
    finally:
        os._exit(0)


def _end_all(processes: int) -> None:
    session = os.getsid(0)
    pause = select.poll()
    for _ in range(LOOKS_MAX):
        with suppress(OSError):  # of a host that is out of descriptors or memory just now
            if not end_session(processes, session, spared=os.getpid()):
                return
        pause.poll(PAUSE_MS)
