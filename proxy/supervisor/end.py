"""How a program ends, and the exit status that tells it."""

from __future__ import annotations

import enum
import signal

from proxy.supervisor.signals import end_by

INTERRUPTED_STATUS = 130  # what a shell says of a program ended by SIGINT


class End(enum.Enum):
    """Why the program ends."""

    SOFT = "soft"  # SIGUSR1, sessions finished
    TERMINATED = "terminated"
    INTERRUPTED = "interrupted"
    FAILED = "failed"  # the workers never became ready


def exit_status(end: End, *, master_worker: bool) -> int:
    """Manual of management, section 4; without master-worker the program dies by the signal."""
    if end is End.FAILED:
        return 1
    if master_worker:
        return INTERRUPTED_STATUS if end is End.INTERRUPTED else 0
    if end is End.INTERRUPTED:
        end_by(signal.SIGINT)
    elif end is End.TERMINATED:
        end_by(signal.SIGTERM)
    return 0
