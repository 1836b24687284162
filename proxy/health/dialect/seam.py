"""The seam between a check's socket and what the check says: events in, answers out. Sans I/O.

Owns the words of the seam. Knows no socket, clock or server.

A `Dialect` is told what has happened on the connection of one check, and answers what is to be done
next. The first event is CONNECTED. Each answer but a result leads to one event, or to the end:

    Send(data)         SENT, once the kernel has taken all of it
    Expect(bytes_min)  Received, once so many bytes are there
    Result             none: the connection is closed
    either of the first two, when the stream ends or breaks first: Ended; when time is up: Expired

The answer to Ended and Expired is a result. A dialect that has state serves one check; one without
serves all. Its attributes say how the connection is set up and closed. What precedes CONNECTED, its
failures and its time-out included, belongs to layer 4 and is judged by the side that has the
socket, and so is the deadline: it covers connect and exchange. The time that answers take counts
too: none blocks. Bytes are given once, and the dialect bounds what it keeps of them; it ends a run
of Sends by itself.

All answers speak of one connection. A check with several would answer with where to connect next,
and be told CONNECTED again: neither event nor answer carries anything of the connection itself.
"""

from __future__ import annotations

import enum
from typing import NamedTuple, Protocol

from shm.check_status import CheckStatus

RECEIVED_MAX = 16_384  # bytes given at once, HAProxy's buffer


class Moment(enum.Enum):
    """What happened, where there is no more to tell."""

    CONNECTED = enum.auto()
    SENT = enum.auto()
    EXPIRED = enum.auto()


class Received(NamedTuple):
    """Bytes that came, at least as many as were expected and at most RECEIVED_MAX."""

    data: bytes


class Ended(NamedTuple):
    """The stream's end: `code` 0, or the errno of a broken connection.

    `data` came before it, fewer bytes than were expected.
    """

    data: bytes
    code: int


class Send(NamedTuple):
    """Send this."""

    data: bytes


class Expect(NamedTuple):
    """Wait for at least so many more bytes, 1 to RECEIVED_MAX."""

    bytes_min: int = 1


class Result(NamedTuple):
    """How the check ended; `code` is the protocol's, `description` what the server said."""

    status: CheckStatus
    code: int = 0
    description: str = ""


Event = Moment | Received | Ended
Answer = Send | Expect | Result


class Dialect(Protocol):
    """One check's part in a conversation."""

    @property
    def quick_ack(self) -> bool:
        """Whether the kernel acknowledges at once; else not even the handshake's last ACK goes."""

    @property
    def reset_on_close(self) -> bool:
        """Whether an established connection is closed by a reset."""

    def answer(self, event: Event) -> Answer:
        """What is to be done after `event`; raises nothing, whatever the server sent."""
