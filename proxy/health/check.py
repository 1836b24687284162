"""Checks under way: connect, exchange, deadline. Knows sockets, but neither servers nor health.

Owns the sockets and their deadlines. One check is one non-blocking connect, a PROXY header where
the server wants one, and what its dialect says after that; the connect is judged here. All of them
are watched by one epoll descriptor, which the event loop watches in turn: one wake-up serves every
check that ended, and closing a socket takes it out (27 us of CPU a check on loopback, 50 with the
loop's own add_writer).
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import os
import select
import socket
import struct
import time
from typing import NamedTuple

from proxy.config.model.settings import ProxyHeader, Source
from proxy.health.dialect.connect_only import CONNECT_ONLY
from proxy.health.dialect.seam import Dialect, Moment, Result
from proxy.health.exchange import Exchange
from proxy.health.proxy_header import check_header
from proxy.health.rise_fall import Outcome
from shm.check_status import CheckStatus

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


class CheckTarget(NamedTuple):
    """Where a check connects to; `host` is numeric text, or the name of a Unix socket."""

    host: str | bytes
    port: int

    @property
    def family(self) -> socket.AddressFamily:
        """The address family that the host is of."""
        if isinstance(self.host, bytes):
            return socket.AF_UNIX
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET


class RunningCheck(NamedTuple):
    """One check under way for the server in `slot`."""

    slot: int
    socket: socket.socket
    began_ns: int
    deadline_ms: int
    header: ProxyHeader
    dialect: Dialect

    @property
    def began_ms(self) -> int:
        """When it began, CLOCK_MONOTONIC in milliseconds."""
        return self.began_ns // 1_000_000


def outcome_of(result: Result, began_ns: int) -> Outcome:
    """The outcome of a check that ends now."""
    duration_us = (time.monotonic_ns() - began_ns) // 1_000
    return Outcome(result.status, result.code, duration_us, result.description)


def failed_connect(code: int) -> Result:
    """What the errno of a failed connect says."""
    if code == errno.ETIMEDOUT:
        return Result(CheckStatus.L4TOUT)
    if code in LOCAL_ERRORS:
        return Result(CheckStatus.SOCKERR, code)
    return Result(CheckStatus.L4CON, code)


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


def _announce(attempt: RunningCheck) -> None:
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
    """The checks under way of one worker, from connect to close; their number is the user's care.

    Deadlines are in a heap; entries of checks that have ended are skipped when they come up.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._attempts: dict[int, RunningCheck] = {}  # by descriptor
        self._exchanges: dict[int, Exchange] = {}  # of those that are connected, by descriptor
        self._deadlines: list[tuple[int, int, RunningCheck]] = []  # a number: none are equal
        self._begun = 0

    def __len__(self) -> int:
        """Checks under way."""
        return len(self._attempts)

    def fileno(self) -> int:
        """Readable when `ended` has something to do."""
        return self._epoll.fileno()

    def begin(
        self,
        slot: int,
        target: CheckTarget,
        limit_ms: int,
        source: Source | None = None,
        *,
        header: ProxyHeader = ProxyHeader.NONE,
        dialect: Dialect = CONNECT_ONLY,
    ) -> RunningCheck | Outcome:
        """Start a check that may take `limit_ms`; an `Outcome` when it failed on the spot."""
        began_ns = time.monotonic_ns()
        try:
            connection = self._connect(target, source, dialect)
        except OSError as error:
            return outcome_of(failed_connect(error.errno or errno.ENOBUFS), began_ns)
        deadline_ms = began_ns // 1_000_000 + limit_ms
        attempt = RunningCheck(slot, connection, began_ns, deadline_ms, header, dialect)
        self._attempts[connection.fileno()] = attempt
        self._begun += 1
        heapq.heappush(self._deadlines, (attempt.deadline_ms, self._begun, attempt))
        if len(self._deadlines) > 2 * len(self._attempts) + STALE_ENTRIES_MAX:
            self._deadlines = [entry for entry in self._deadlines if self._is_open(entry[2])]
            heapq.heapify(self._deadlines)
        return attempt

    def _connect(
        self, target: CheckTarget, source: Source | None, dialect: Dialect
    ) -> socket.socket:
        """A watched socket whose connect is under way, or done; raises OSError."""
        flags = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        connection = socket.socket(target.family, flags, 0)
        try:
            if target.family != socket.AF_UNIX:
                if not dialect.quick_ack:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
                if source is not None:
                    come_from(connection, source, target.family)
            code = connection.connect_ex(target.host if isinstance(target.host, bytes) else target)
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
            self._epoll.register(connection.fileno(), select.EPOLLOUT)
        except OSError:
            connection.close()
            raise
        return connection

    def _is_open(self, attempt: RunningCheck) -> bool:
        """Whether a check is under way; the descriptor of a closed socket is -1."""
        return attempt.socket.fileno() in self._attempts

    def ended(self, events_max: int) -> list[tuple[RunningCheck, Outcome]]:
        """Go on where sockets are ready, so many at most; the checks that ended by it, closed."""
        found = []
        for descriptor, _ in self._epoll.poll(0, events_max):
            attempt = self._attempts[descriptor]
            result = self._advance(attempt)
            if result is not None:
                self.abandon(attempt)
                found.append((attempt, outcome_of(result, attempt.began_ns)))
        return found

    def _advance(self, attempt: RunningCheck) -> Result | None:
        """One step of a check whose socket is ready; None while it goes on."""
        descriptor = attempt.socket.fileno()
        exchange = self._exchanges.get(descriptor)
        if exchange is None:
            return self._connected(attempt)
        awaited = exchange.events
        result = exchange.resume()
        if result is None and exchange.events != awaited:
            self._epoll.modify(descriptor, exchange.events)
        return result

    def _connected(self, attempt: RunningCheck) -> Result | None:
        """The connect ended: judge it, or begin what comes next."""
        code = attempt.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code != 0:
            return failed_connect(code)
        _announce(attempt)
        if attempt.dialect.reset_on_close:
            attempt.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        answer = attempt.dialect.answer(Moment.CONNECTED)
        if isinstance(answer, Result):
            return answer
        exchange = Exchange(attempt.socket, attempt.dialect)
        result = exchange.obey(answer)
        if result is None:
            self._exchanges[attempt.socket.fileno()] = exchange
            self._epoll.modify(attempt.socket.fileno(), exchange.events)
        return result

    def expired(self, now_ms: int, attempts_max: int) -> list[tuple[RunningCheck, Outcome]]:
        """The checks whose time was up at `now_ms`, closed; so many at most.

        One whose socket is ready goes on first: it may have ended in time and only not been heard.
        """
        found: list[tuple[RunningCheck, Outcome]] = []
        while len(found) < attempts_max:
            deadline_ms = self.next_deadline_ms()
            if deadline_ms is None or deadline_ms > now_ms:
                break
            _, _, attempt = heapq.heappop(self._deadlines)
            result = self._advance(attempt) if self._is_ready(attempt) else None
            if result is None:
                exchange = self._exchanges.get(attempt.socket.fileno())
                timed_out = failed_connect(errno.ETIMEDOUT)
                result = timed_out if exchange is None else exchange.expire()
            self.abandon(attempt)
            found.append((attempt, outcome_of(result, attempt.began_ns)))
        return found

    def _is_ready(self, attempt: RunningCheck) -> bool:
        """Whether something that the check waits for has happened."""
        descriptor = attempt.socket.fileno()
        exchange = self._exchanges.get(descriptor)
        poll = select.poll()
        poll.register(descriptor, select.EPOLLOUT if exchange is None else exchange.events)
        return bool(poll.poll(0))

    def abandon(self, attempt: RunningCheck) -> None:
        """Close a check, ended or not."""
        descriptor = attempt.socket.fileno()
        del self._attempts[descriptor]
        self._exchanges.pop(descriptor, None)
        attempt.socket.close()

    def next_deadline_ms(self) -> int | None:
        """When the first check under way runs out of time; None when there is none."""
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
