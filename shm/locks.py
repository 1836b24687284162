"""One writing process for each kind of record, by a lock that the kernel drops with the process.

The locks are byte ranges of the memfd itself (fcntl record locks), released at any end of the
process, so a successor never waits for a dead one.
"""

from __future__ import annotations

import errno
import fcntl

from shm.shape import WORKERS_MAX

SLOT_WRITER = 0  # resolverd
ADMIN_WRITER = 1  # control
HEALTH_WRITER = 2  # worker 0; worker n is HEALTH_WRITER + n
PROGRAM_HEALTH_WRITER = HEALTH_WRITER + WORKERS_MAX  # the runner: of servers checked by programs


class SecondWriterError(RuntimeError):
    """Another living process holds this writer's role."""


def take_role(segment_fd: int, role: int) -> None:
    """Make this process the only writer of a kind of record until it ends.

    Raises SecondWriterError while another process has the role.
    """
    try:
        fcntl.lockf(segment_fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, role)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise SecondWriterError(f"writer role {role} is held by another process") from error
        raise
