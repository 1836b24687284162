"""One writing process for each kind of record, held by a lock that dies with its process.

The locks are byte ranges of the memfd itself (fcntl record locks): the kernel drops them when the
process ends, however it ends, so a successor never waits for a ghost.
"""

from __future__ import annotations

import errno
import fcntl

SLOT_WRITER = 0  # resolverd
ADMIN_WRITER = 1  # control
HEALTH_WRITER = 2  # worker 0; worker n is HEALTH_WRITER + n


class SecondWriterError(RuntimeError):
    """Another living process holds this writer's role."""


def take_role(segment_fd: int, role: int) -> None:
    """Become the one writer of a kind of record, until this process ends.

    Raises SecondWriterError while another process is it.
    """
    try:
        fcntl.lockf(segment_fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, role)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise SecondWriterError(f"writer role {role} is held by another process") from error
        raise
