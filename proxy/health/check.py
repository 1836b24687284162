"""TCP connect checks under way: begin, end, expire. Knows sockets, but neither servers nor health.

One check is one non-blocking connect, and a PROXY header where the server wants one. All of them
are watched by one epoll descriptor, which the event loop watches in turn: one wake-up serves every
connect that ended, and closing a socket takes it out (27 us of CPU a check on loopback, 50 with the
loop's own add_writer).

As HAProxy does for a check that sends nothing, quick acknowledgements are off, so the handshake's
last ACK is never sent, and the close is a reset: the server's application is not woken up.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import select
import socket
import struct
import time
from typing import NamedTuple

from proxy.config.model.settings import ProxyHeader, Source
from proxy.health.proxy_header import check_header
from proxy.health.rise_fall import CheckStatus, Outcome

IP_BIND_ADDRESS_NO_PORT = 24  # <linux/in.h>
TRANSPARENT = {  # by family: level and name of the option to come from a foreign address
    int(socket.AF_INET): (socket.SOL_IP, socket.IP_TRANSPARENT),
    int(socket.AF_INET6): (socket.IPPROTO_IPV6, 75),  # <linux/in6.h>
}
STALE_ENTRIES_MAX = 64  # of the heap, beyond one for each connect: then it is rebuilt
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s
# Failures to connect that say something of this host, not of the server.
LOCAL_ERRORS = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EADDRNOTAVAIL,
        errno.EADDRINUSE,
        errno.EAGAIN,
    }
)


class Target(NamedTuple):
    """Where a check connects to; `host` is numeric text, or the name of a Unix socket."""

    host: str | bytes
    port: int

    @property
    def family(self) -> socket.AddressFamily:
        """The address family that the host is of."""
        if isinstance(self.host, bytes):
            return socket.AF_UNIX
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET


class Attempt(NamedTuple):
    """One connect under way for the server in `slot`."""

    slot: int
    socket: socket.socket
    began_ns: int
    deadline_ms: int
    header: ProxyHeader

    @property
    def began_ms(self) -> int:
        """When it began, CLOCK_MONOTONIC in milliseconds."""
        return self.began_ns // 1_000_000


def outcome_of(code: int, began_ns: int) -> Outcome:
    """What an errno of connect (0: connected) means for a check that ends now."""
    duration_us = (time.monotonic_ns() - began_ns) // 1_000
    if code == 0:
        return Outcome(CheckStatus.LAYER4_OK, 0, duration_us)
    if code == errno.ETIMEDOUT:
        return Outcome(CheckStatus.LAYER4_TIMEOUT, 0, duration_us)
    if code in LOCAL_ERRORS:
        return Outcome(CheckStatus.SOCKET_ERROR, code, duration_us)
    return Outcome(CheckStatus.LAYER4_CONNECTION, code, duration_us)


def come_from(connection: socket.socket, source: Source, family: int) -> None:
    """Let a check come from where its server's sessions do, but from any port; raises OSError.

    There is no client whose address it could use.
    """
    if source.interface is not None:
        name = source.interface.encode() + b"\0"
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
    if source.address is None or source.from_client:
        return
    if (socket.AF_INET6 if ":" in source.address else socket.AF_INET) != family:
        return
    if source.foreign:
        level, name_number = TRANSPARENT[family]
        connection.setsockopt(level, name_number, 1)
    connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    connection.bind((source.address, 0))


def _announce(attempt: Attempt) -> None:
    """Send the PROXY header into the empty socket; whether it arrives is not what is checked."""
    if attempt.header is ProxyHeader.NONE:
        return
    with contextlib.suppress(OSError):
        connection = attempt.socket
        own = server = None
        if connection.family != socket.AF_UNIX:
            own, server = connection.getsockname()[:2], connection.getpeername()[:2]
        connection.send(check_header(attempt.header, own, server), socket.MSG_NOSIGNAL)


class Connects:
    """The connects under way of one worker; whoever begins one keeps to a limit.

    Deadlines are in a heap; entries of connects that have ended are skipped when they come up.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._attempts: dict[int, Attempt] = {}  # by descriptor
        self._deadlines: list[tuple[int, int, Attempt]] = []  # a number: none are equal
        self._begun = 0

    def __len__(self) -> int:
        """Connects under way."""
        return len(self._attempts)

    def fileno(self) -> int:
        """Readable when `ended` has something to say."""
        return self._epoll.fileno()

    def begin(
        self,
        slot: int,
        target: Target,
        limit_ms: int,
        source: Source | None = None,
        header: ProxyHeader = ProxyHeader.NONE,
    ) -> Attempt | Outcome:
        """Start a connect that may take `limit_ms`; an `Outcome` when it failed on the spot."""
        began_ns = time.monotonic_ns()
        flags = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        try:
            connection = socket.socket(target.family, flags, 0)
        except OSError as error:
            return outcome_of(error.errno or errno.EMFILE, began_ns)
        try:
            if target.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            if source is not None and target.family != socket.AF_UNIX:
                come_from(connection, source, target.family)
            code = connection.connect_ex(target.host if isinstance(target.host, bytes) else target)
            if code in (0, errno.EINPROGRESS):
                self._epoll.register(connection.fileno(), select.EPOLLOUT)
        except OSError as error:
            code = error.errno or errno.ENOBUFS
        if code not in (0, errno.EINPROGRESS):
            connection.close()
            return outcome_of(code, began_ns)
        attempt = Attempt(slot, connection, began_ns, began_ns // 1_000_000 + limit_ms, header)
        self._attempts[connection.fileno()] = attempt
        self._begun += 1
        heapq.heappush(self._deadlines, (attempt.deadline_ms, self._begun, attempt))
        if len(self._deadlines) > 2 * len(self._attempts) + STALE_ENTRIES_MAX:
            self._deadlines = [entry for entry in self._deadlines if self._is_open(entry[2])]
            heapq.heapify(self._deadlines)
        return attempt

    def _is_open(self, attempt: Attempt) -> bool:
        """Whether a connect is under way; the descriptor of a closed socket is -1."""
        return attempt.socket.fileno() in self._attempts

    def ended(self, attempts_max: int) -> list[tuple[Attempt, Outcome]]:
        """The connects that ended since the last call, closed; so many at most."""
        found = []
        for descriptor, _ in self._epoll.poll(0, attempts_max):
            attempt = self._attempts.pop(descriptor)
            code = attempt.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0:
                _announce(attempt)
                attempt.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            attempt.socket.close()
            found.append((attempt, outcome_of(code, attempt.began_ns)))
        return found

    def expired(self, now_ms: int, attempts_max: int) -> list[tuple[Attempt, Outcome]]:
        """The connects whose time was up at `now_ms`, closed; so many at most.

        Call it when `ended` has no more to say: one that ended in time was only not heard yet.
        """
        found: list[tuple[Attempt, Outcome]] = []
        while len(found) < attempts_max:
            deadline_ms = self.next_deadline_ms()
            if deadline_ms is None or deadline_ms > now_ms:
                break
            _, _, attempt = heapq.heappop(self._deadlines)
            self.abandon(attempt)
            found.append((attempt, outcome_of(errno.ETIMEDOUT, attempt.began_ns)))
        return found

    def abandon(self, attempt: Attempt) -> None:
        """Close a connect whose outcome no longer matters."""
        del self._attempts[attempt.socket.fileno()]
        attempt.socket.close()

    def next_deadline_ms(self) -> int | None:
        """When the first connect under way runs out of time; None when there is none."""
        while self._deadlines:
            deadline_ms, _, attempt = self._deadlines[0]
            if self._is_open(attempt):
                return deadline_ms
            heapq.heappop(self._deadlines)
        return None

    def close(self) -> None:
        """Give up everything under way."""
        for attempt in list(self._attempts.values()):
            self.abandon(attempt)
        self._epoll.close()
