"""How a session can end: HAProxy's two-letter codes (manual section 8.5), in counter order.

Owns the names only. `WorkerCounters.terminations[n]` counts the sessions that ended in
`Termination(n)`; types.pxd declares the numbers for compiled code, a test holds the two together.
"""

from __future__ import annotations

import enum


class Termination(enum.IntEnum):
    """Termination states; the first letter says what ended the session, the second in which phase.

    An upper-case C or S is the client or the server itself, a lower-case one its time-out.
    """

    NORMAL = 0  # both ends finished, nothing was left to send
    CLIENT_ABORT_CONNECT = 1
    CLIENT_ABORT_DATA = 2
    CLIENT_ABORT_LAST = 3  # while the last data was on its way to the client
    CLIENT_TIMEOUT_CONNECT = 4
    CLIENT_TIMEOUT_DATA = 5
    CLIENT_TIMEOUT_LAST = 6
    SERVER_ABORT_CONNECT = 7  # refused, or no server to pick
    SERVER_ABORT_DATA = 8
    SERVER_TIMEOUT_CONNECT = 9
    SERVER_TIMEOUT_DATA = 10
    RESOURCE_CONNECT = 11  # no socket, source port or memory for the server's side
    DOWN_CONNECT = 12  # the server went down and `on-marked-down` ends its sessions
    DOWN_DATA = 13
    CLIENT_ABORT_QUEUE = 14
    CLIENT_TIMEOUT_QUEUE = 15
    SERVER_ABORT_QUEUE = 16  # the queue of the only server it may go to is full
    SERVER_TIMEOUT_QUEUE = 17
    UP_CONNECT = 18  # an active server came up and `on-marked-up` ends the sessions of backups
    UP_DATA = 19
    CLIENT_ABORT_HEADER = 20  # before its PROXY header was there
    CLIENT_TIMEOUT_HEADER = 21
    REFUSED = 22  # what it sent is no PROXY header, or a rule refuses it
    REFUSED_DATA = 23  # a rule refuses what its server has sent
    KILLED_CONNECT = 24  # an operator ended it
    KILLED_DATA = 25
    KILLED_QUEUE = 26

    @property
    def code(self) -> str:
        """The two letters that `termination_state` shows."""
        return CODES[self]


CODES: dict[Termination, str] = {
    Termination.NORMAL: "--",
    Termination.CLIENT_ABORT_CONNECT: "CC",
    Termination.CLIENT_ABORT_DATA: "CD",
    Termination.CLIENT_ABORT_LAST: "CL",
    Termination.CLIENT_TIMEOUT_CONNECT: "cC",
    Termination.CLIENT_TIMEOUT_DATA: "cD",
    Termination.CLIENT_TIMEOUT_LAST: "cL",
    Termination.SERVER_ABORT_CONNECT: "SC",
    Termination.SERVER_ABORT_DATA: "SD",
    Termination.SERVER_TIMEOUT_CONNECT: "sC",
    Termination.SERVER_TIMEOUT_DATA: "sD",
    Termination.RESOURCE_CONNECT: "RC",
    Termination.DOWN_CONNECT: "DC",
    Termination.CLIENT_ABORT_QUEUE: "CQ",
    Termination.CLIENT_TIMEOUT_QUEUE: "cQ",
    Termination.SERVER_ABORT_QUEUE: "SQ",
    Termination.SERVER_TIMEOUT_QUEUE: "sQ",
    Termination.UP_CONNECT: "UC",
    Termination.UP_DATA: "U-",
    Termination.CLIENT_ABORT_HEADER: "CR",
    Termination.CLIENT_TIMEOUT_HEADER: "cR",
    Termination.REFUSED: "PR",
    Termination.REFUSED_DATA: "PD",
    Termination.KILLED_CONNECT: "KC",
    Termination.KILLED_QUEUE: "KQ",
    Termination.DOWN_DATA: "D-",  # as HAProxy writes it: not in which phase
    Termination.KILLED_DATA: "K-",  # likewise
}
