"""A connect to a Unix socket that waits for a place in a full queue, but not for ever.

Only a blocking connect waits there: without blocking it fails at once (EAGAIN, connect(2)).
SO_SNDTIMEO limits it, and bars the kernel from going on by itself behind a signal, be it the one
that a stopped process goes on with. Python takes that EINTR for a connection under way and says
that it is made; so one that has no peer then is tried again.
"""

from __future__ import annotations

import errno
import socket
import struct
import time

TIMEVAL = struct.Struct("@ll")
SHORTEST_SECONDS = 0.001  # zero would be no limit (socket(7), SO_SNDTIMEO)


def connect_within(connection: socket.socket, name: str | bytes, seconds: float) -> None:
    """Connect a blocking Unix socket; nothing limits its calls behind it.

    Raises BlockingIOError where the queue is full for so long, and OSError as connect(2).
    """
    deadline = time.monotonic() + seconds
    while True:
        left = max(deadline - time.monotonic(), SHORTEST_SECONDS)
        limit_calls(connection, left)
        try:
            connection.connect(name)
            connection.getpeername()
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
        else:
            limit_calls(connection, 0)
            return


def limit_calls(connection: socket.socket, seconds: float) -> None:
    """Set how long a receive waits, a send, and a connect; 0 is no limit."""
    value = TIMEVAL.pack(int(seconds), int(seconds % 1 * 1_000_000))
    for name in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, name, value)
