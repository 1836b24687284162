"""The seam between a check's socket and what the check says: events in, answers out. Sans I/O.

Owns the words of the seam. Knows no socket, clock or server.

A `Dialect` says how a check connects at first, is told what has happened on the connection, and
answers what is to be done next. Each answer leads to one event, or to the end:

    Connect(...)       CONNECTED, or SECURED where it is encrypted; the one before is closed
    Send(data)         SENT, once the kernel has taken all of it
    Expect(bytes_min)  Received, once so many bytes are there
    Result             none: the connection is closed
    Send or Expect, when the stream ends or breaks first: Ended; when time is up: EXPIRED

The answer to EXPIRED is a result. Behind Ended a check may still Send or Connect: what it expects
then of the same connection has ended, too. A dialect that has state serves one check; one
without serves all. What precedes CONNECTED, its failures and its time-out included, belongs to
layers 4 and 6 and is judged by the side that has the socket, and so are the deadlines. The time
that answers take counts too: none blocks. Bytes are given once, and the dialect bounds what it
keeps of them; it ends a run of Sends by itself.
"""

from __future__ import annotations

import enum
import errno
import os
from collections.abc import Callable
from typing import NamedTuple, Protocol

from proxy.config.model.settings import ProxyHeader
from shm.check_status import CheckStatus

RECEIVED_MAX = 16_384  # bytes given at once, HAProxy's buffer


End = tuple[str, int] | None  # of a connection: address and port, None on a Unix socket


class Connect(NamedTuple):
    """A connection as the check wants it.

    `header`: a PROXY header of its own, None for what the server's line says, of TLS too.
    `quick_ack`: the kernel acknowledges at once; else not even the handshake's last ACK goes.
    `reset_on_close`: an established connection is closed by a reset. `ssl`: it is encrypted, with
    the name and the protocols here; `alpn` is as written in the file. `notifies`: the end of an
    encrypted one is announced (RFC 8446, section 6.1). `told`: is called with our end and the
    server's, before the event.
    """

    address: str | None = None  # numeric; None: the check's own
    port: int | None = None  # likewise
    header: ProxyHeader | None = None
    quick_ack: bool = True
    reset_on_close: bool = True
    ssl: bool = False
    sni: str | None = None
    alpn: str | None = None
    notifies: bool = False
    told: Callable[[End, End], None] | None = None


class Moment(enum.Enum):
    """What happened, where there is no more to tell."""

    CONNECTED = enum.auto()
    SECURED = enum.auto()
    SENT = enum.auto()
    EXPIRED = enum.auto()


class Received(NamedTuple):
    """Bytes that came, as many as were expected."""

    data: bytes


class Ended(NamedTuple):
    """The stream's end: `code` 0, or the errno of a broken connection.

    `data` came before it, fewer bytes than were expected. `text` is what is said of it, where that
    is not the kernel's text for the errno.
    """

    data: bytes
    code: int
    text: str = ""

    @property
    def reason(self) -> str:
        """Why it is over; an end where none may be is a broken connection, too."""
        return self.text or os.strerror(self.code or errno.EPIPE)


class Send(NamedTuple):
    """Send this."""

    data: bytes


class Expect(NamedTuple):
    """Wait for at least so many more bytes, 1 to RECEIVED_MAX, and take so many at most.

    What there is no room for stays where it is: it may belong to a later step.
    """

    bytes_min: int = 1
    bytes_max: int = RECEIVED_MAX


def more_behind(data: bytes, bytes_min: int = 1) -> Expect:
    """Expect what follows bytes that are kept, as long as there is room for more."""
    return Expect(bytes_min, RECEIVED_MAX - len(data))


class Result(NamedTuple):
    """How the check ended; `code` is the protocol's, `description` what the server said.

    `own_fault`: this host could not connect, which says nothing of the server. `logged`: what the
    line of `option log-health-checks` says where `last_chk` says nothing.
    """

    status: CheckStatus
    code: int = 0
    description: str = ""
    own_fault: bool = False
    logged: str = ""


class Subject(NamedTuple):
    """The server that a check is of; `number` is its id. What it answers is asked by slot."""

    is_down: Callable[[int], bool]  # whether checks have taken it down
    state: Callable[[int], str]  # how it stands, as `http-check send-state` tells it
    slot: int = 0
    name: str = ""
    number: int = 0


Event = Moment | Received | Ended
Answer = Connect | Send | Expect | Result


class Dialect(Protocol):
    """One check's part in a conversation."""

    @property
    def first(self) -> Connect:
        """The connection that a check begins with."""

    @property
    def place(self) -> str:
        """Where the conversation stands, as it follows the reason of a failed connect; or empty."""

    def answer(self, event: Event) -> Answer:
        """What is to be done after `event`; raises nothing, whatever the server sent."""
