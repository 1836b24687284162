"""Checks under way: connect, exchange, deadline. Knows sockets, but neither servers nor health.

Owns the sockets; attempts.py keeps the deadlines. One check is a non-blocking connect, a PROXY
header and a TLS handshake where they are wanted, and what its dialect says after that, on this
connection or on further ones; connects and handshakes are judged here. All of them are watched by
one epoll descriptor, which the event loop watches in turn: one wake-up serves every check that
ended, and closing a socket takes it out (27 us of CPU a check on loopback, 50 with the loop's own
add_writer).
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, NamedTuple

from proxy.config.model.settings import ProxyHeader, Source
from proxy.health.attempts import Attempts, outcome_of
from proxy.health.dialect.connect_only import CONNECT_ONLY
from proxy.health.dialect.seam import Connect, Dialect, Moment, Result
from proxy.health.exchange import Exchange, TlsExchange, ends_of
from proxy.health.proxy_header import check_header
from proxy.health.rise_fall import Outcome
from shm.check_status import CheckStatus

if TYPE_CHECKING:  # most configurations have no use for ssl
    from proxy.health.tls_stream import ServerTls, TlsStream

SOCKET_KIND = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
IP_BIND_ADDRESS_NO_PORT = 24  # <linux/in.h>
TRANSPARENT = {  # by family: level and name of the option to come from a foreign address
    int(socket.AF_INET): (socket.SOL_IP, socket.IP_TRANSPARENT),
    int(socket.AF_INET6): (socket.IPPROTO_IPV6, 75),  # <linux/in6.h>
}
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


class Limits(NamedTuple):
    """How long a check may take, milliseconds (manual: timeout check, inter).

    `connect` begins anew with each connection of a check. With `exchange` None it is for the
    connect and all that follows it; else what follows has a time of its own.
    """

    connect_ms: int
    exchange_ms: int | None = None


class Plan(NamedTuple):
    """What is known of a server's check before it begins."""

    target: CheckTarget
    limits: Limits
    source: Source | None = None
    header: ProxyHeader = ProxyHeader.NONE  # as the server's line says it
    tls: ServerTls | None = None  # None: no connection is encrypted


class RunningCheck:
    """One check under way for the server in `slot`; `socket` is that of the present connection."""

    __slots__ = (
        "began_ns",
        "deadline_ms",
        "dialect",
        "exchange",
        "plan",
        "slot",
        "socket",
        "tls",
        "wanted",
    )

    def __init__(self, slot: int, plan: Plan, dialect: Dialect) -> None:
        self.slot = slot
        self.plan = plan
        self.dialect = dialect
        self.wanted = dialect.first  # of the present connection
        self.began_ns = time.monotonic_ns()
        self.deadline_ms = 0
        self.exchange: Exchange | None = None  # None: its connect or handshake is under way
        self.tls: TlsStream | None = None  # None: there is no handshake, or not yet
        self.socket: socket.socket

    @property
    def began_ms(self) -> int:
        """When it began, CLOCK_MONOTONIC in milliseconds."""
        return self.began_ns // 1_000_000

    @property
    def descriptor(self) -> int:
        """Of the present connection, -1 once it is closed."""
        return self.socket.fileno()

    @property
    def target(self) -> CheckTarget:
        """Where the present connection leads."""
        if self.wanted.address is None and self.wanted.port is None:
            return self.plan.target
        host, port = self.plan.target
        return CheckTarget(self.wanted.address or host, self.wanted.port or port)

    @property
    def events(self) -> int:
        """What it waits for, as epoll has it."""
        if self.exchange is not None:
            return self.exchange.events
        return select.EPOLLOUT if self.tls is None else self.tls.events


def connect(check: RunningCheck) -> None:
    """Give the check a socket whose connect is under way, or done; raises OSError."""
    target, wanted, source = check.target, check.wanted, check.plan.source
    family = target.family
    connection = socket.socket(family, SOCKET_KIND, 0)
    try:
        if family is not socket.AF_UNIX:
            if check.dialect is not CONNECT_ONLY:  # no send waits for the ACK of the one before
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not wanted.quick_ack:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            if source is not None:
                come_from(connection, source, family)
        code = connection.connect_ex(target.host if isinstance(target.host, bytes) else target)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
    except OSError:
        connection.close()
        raise
    check.socket = connection


def failed_connect(code: int, place: str) -> Result:
    """What the errno of a failed connect says; `place`: where in its conversation the check was."""
    if code == errno.ETIMEDOUT:
        return Result(CheckStatus.L4TOUT, 0, place)
    own_fault = code in LOCAL_ERRORS
    status = CheckStatus.SOCKERR if own_fault else CheckStatus.L4CON
    return Result(status, code, os.strerror(code) + place if place else "", own_fault)


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


def _announce(check: RunningCheck, *, never_local: bool) -> None:
    """Send the PROXY header into the empty socket; whether it arrives is not what is checked."""
    header = check.plan.header if check.wanted.header is None else check.wanted.header
    if header is ProxyHeader.NONE:
        return
    with contextlib.suppress(OSError):
        own, server = ends_of(check.socket)
        data = check_header(header, own, server, never_local=never_local)
        check.socket.send(data, socket.MSG_NOSIGNAL)


class Connects(Attempts[RunningCheck]):
    """The checks under way of one worker, from connect to close."""

    def __init__(self, *, never_local: bool = False) -> None:
        """`never_local`: PROXY headers of version 2 name a check's own connection."""
        super().__init__()
        self._never_local = never_local

    def begin(
        self, slot: int, plan: Plan, dialect: Dialect = CONNECT_ONLY
    ) -> RunningCheck | Outcome:
        """Start a check; an `Outcome` when it failed on the spot."""
        check = RunningCheck(slot, plan, dialect)
        failed = self._connect(check)
        if failed is not None:
            return outcome_of(failed, check.began_ns)
        self._limit(check, check.began_ms + plan.limits.connect_ms)
        return check

    def _connect(self, check: RunningCheck) -> Result | None:
        """Begin a connection and watch it; a result when that failed."""
        try:
            connect(check)
            try:
                self._epoll.register(check.socket.fileno(), select.EPOLLOUT)
            except OSError:
                check.socket.close()
                raise
        except OSError as error:
            return failed_connect(error.errno or errno.ENOBUFS, check.dialect.place)
        check.exchange = check.tls = None
        self._checks[check.socket.fileno()] = check
        return None

    def ended(self, events_max: int) -> list[tuple[RunningCheck, Outcome]]:
        """Go on where sockets are ready, so many at most; the checks that ended by it, closed."""
        found = []
        for descriptor, _ in self._epoll.poll(0, events_max):
            check = self._checks[descriptor]
            result = self._advance(check)
            if result is not None:
                self.abandon(check)
                found.append((check, outcome_of(result, check.began_ns)))
        return found

    def _advance(self, check: RunningCheck) -> Result | None:
        """One step of a check whose socket is ready; None while it goes on."""
        awaited = check.events
        if check.exchange is not None:
            answer = check.exchange.resume()
        elif check.tls is not None:
            answer = self._shake(check, check.tls)
        else:
            code = check.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code != 0:
                return failed_connect(code, check.dialect.place)
            answer = self._connected(check)
        if isinstance(answer, Result):
            return answer
        if isinstance(answer, Connect):
            return self._connect_again(check, answer)
        if check.events != awaited:
            self._epoll.modify(check.socket.fileno(), check.events)
        return None

    def _connected(self, check: RunningCheck) -> Result | Connect | None:
        """The connection is there: begin what comes next."""
        _announce(check, never_local=self._never_local)
        if check.wanted.told is not None:
            with contextlib.suppress(OSError):  # the exchange finds that it is broken
                check.wanted.told(*ends_of(check.socket))
        if check.wanted.reset_on_close:
            check.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        if check.plan.tls is not None:
            check.tls = check.plan.tls.stream(check.socket, check.wanted)
        if check.tls is not None:
            return self._shake(check, check.tls)
        return self._begin_exchange(check, Moment.CONNECTED)

    def _shake(self, check: RunningCheck, tls: TlsStream) -> Result | Connect | None:
        """One step of the handshake, and what follows its end."""
        if not tls.shake():
            return None
        if tls.failure:
            return Result(CheckStatus.L6RSP, 0, tls.failure + check.dialect.place)
        return self._begin_exchange(check, Moment.SECURED)

    def _begin_exchange(self, check: RunningCheck, moment: Moment) -> Result | Connect | None:
        """The connection is ready for what the dialect says."""
        first = check.dialect.answer(moment)
        if isinstance(first, Result):
            return first
        exchange_ms = check.plan.limits.exchange_ms
        if check.tls is None:
            check.exchange = Exchange(check.socket, check.dialect)
        else:
            check.exchange = TlsExchange(check.tls, check.dialect)
        answer = check.exchange.begin(first)
        if answer is None and exchange_ms is not None:
            self._limit(check, time.monotonic_ns() // 1_000_000 + exchange_ms)
        return answer

    def _connect_again(self, check: RunningCheck, wanted: Connect) -> Result | None:
        """Go on with another connection in the place of the present one."""
        self.abandon(check)
        check.wanted = wanted
        failed = self._connect(check)
        if failed is None:
            now_ms = time.monotonic_ns() // 1_000_000
            self._limit(check, now_ms + check.plan.limits.connect_ms)
        return failed

    def expired(self, now_ms: int, checks_max: int) -> list[tuple[RunningCheck, Outcome]]:
        """The checks whose time was up at `now_ms`, closed; so many at most.

        One whose socket is ready goes on first: it may have ended in time and only not been heard.
        """
        found: list[tuple[RunningCheck, Outcome]] = []
        while len(found) < checks_max:
            check = self._take_expired(now_ms)
            if check is None:
                break
            deadline_ms = check.deadline_ms
            result = self._advance(check) if self._is_ready(check) else None
            if result is None and check.deadline_ms != deadline_ms:
                continue  # it has another limit now
            if result is None and check.exchange is not None:
                result = check.exchange.expire()
            if result is None and check.tls is not None:
                result = Result(CheckStatus.L6TOUT, 0, check.dialect.place)
            if result is None:
                result = failed_connect(errno.ETIMEDOUT, check.dialect.place)
            self.abandon(check)
            found.append((check, outcome_of(result, check.began_ns)))
        return found

    def _is_ready(self, check: RunningCheck) -> bool:
        """Whether something that the check waits for has happened."""
        poll = select.poll()
        poll.register(check.socket.fileno(), check.events)
        return bool(poll.poll(0))

    def abandon(self, check: RunningCheck) -> None:
        """Close the connection of a check, ended or not."""
        if check.tls is not None and check.exchange is not None and check.wanted.notifies:
            check.tls.notify()
        self._checks.pop(check.socket.fileno(), None)
        check.socket.close()
