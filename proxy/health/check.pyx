"""Checks under way: connect, exchange, deadline. Knows sockets, but neither servers nor health.

Owns the sockets; attempts.pyx keeps the deadlines. One check is a non-blocking connect, a PROXY
header and a TLS handshake where they are wanted, and what its dialect says after that, on this
connection or on further ones; connects and handshakes are judged here. All of them are watched by
one epoll descriptor, which the event loop watches in turn: one wake-up serves every check that
ended, and closing a socket takes it out. What epoll says of a connect that has not failed needs no
further question to the kernel.
"""

import errno
import os
from contextlib import suppress

from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport ENOBUFS, ETIMEDOUT
from libc.stdint cimport int64_t

from proxy.health.attempts cimport Attempts, monotonic_ns, outcome_of
from proxy.health.connection cimport Connection, new_connection, packed_address
from proxy.health.exchange cimport Exchange, TlsExchange
from proxy.relay.state.syscalls cimport (
    AF_UNIX, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLLERR, EPOLLHUP, EPOLLOUT, IPPROTO_TCP, MSG_NOSIGNAL,
    TCP_NODELAY, TCP_QUICKACK, epoll_ctl, epoll_event, epoll_wait, poll, pollfd, sockaddr)

from proxy.config.model.settings import ProxyHeader
from proxy.health.dialect.connect_only import CONNECT_ONLY
from proxy.health.dialect.seam import Connect, Moment, Result
from proxy.health.proxy_header import check_header
from proxy.health.target import come_from
from shm.check_status import CheckStatus

CONNECTED, SECURED = Moment.CONNECTED, Moment.SECURED
NO_HEADER = ProxyHeader.NONE
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


cdef class Plan:
    """What is known of a server's check before it begins.

    `header`: as the server's line says it. `tls`: a `ServerTls`; None: no connection is encrypted.
    """

    def __init__(self, target, limits, source=None, header=NO_HEADER, tls=None):
        self.target = target
        self.limits = limits
        self.source = source
        self.header = header
        self.tls = tls

    cdef bytes packed(self):
        """The address of the target; raises OSError."""
        if self.address is None:
            self.address = packed_address(self.target.host, self.target.port)
        return self.address


cdef class RunningCheck:
    """One check under way for the server in `slot`; `socket` is that of the present connection."""

    @property
    def began_ms(self) -> int:
        """When it began, CLOCK_MONOTONIC in milliseconds."""
        return self.began_ns // 1_000_000

    @property
    def descriptor(self) -> int:
        """Of the present connection, -1 once it is closed."""
        return self.socket.descriptor

    cdef bytes address(self):
        """Where the present connection leads; raises OSError."""
        if self.wanted.address is None and self.wanted.port is None:
            return self.plan.packed()
        host, port = self.plan.target
        return packed_address(self.wanted.address or host, self.wanted.port or port)

    cdef unsigned int awaited(self):
        """What it waits for, as epoll has it."""
        if self.exchange is not None:
            return self.exchange.awaited()
        return EPOLLOUT if self.tls is None else self.tls.events


def failed_connect(int code, place):
    """What the errno of a failed connect says; `place`: where in its conversation the check was."""
    if code == ETIMEDOUT:
        return Result(CheckStatus.L4TOUT, 0, place)
    own_fault = code in LOCAL_ERRORS
    status = CheckStatus.SOCKERR if own_fault else CheckStatus.L4CON
    return Result(status, code, os.strerror(code) + place if place else "", own_fault)


cdef class Connects(Attempts):
    """The checks under way of one worker, from connect to close."""

    def __init__(self, *, bint never_local=False):
        """`never_local`: PROXY headers of version 2 name a check's own connection."""
        Attempts.__init__(self)
        self.never_local = never_local
        self.set = self._epoll.fileno()

    def begin(self, Py_ssize_t slot, Plan plan, dialect=CONNECT_ONLY):
        """Start a check; an `Outcome` when it failed on the spot."""
        cdef RunningCheck check = RunningCheck.__new__(RunningCheck)
        check.slot = slot
        check.plan = plan
        check.dialect = dialect
        check.wanted = dialect.first
        check.began_ns = monotonic_ns()
        failed = self.connect(check)
        if failed is not None:
            return outcome_of(failed, check.began_ns)
        self._limit(check, check.began_ns // 1_000_000 + <int64_t>plan.limits.connect_ms)
        return check

    cdef object connect(self, RunningCheck check):
        """Begin a connection and watch it; a result when that failed."""
        check.socket = new_connection()
        check.exchange = check.tls = None
        try:
            self.open(check)
        except OSError as error:
            check.socket.close()
            return failed_connect(error.errno or ENOBUFS, check.dialect.place)
        self._checks[check.socket.descriptor] = check
        return None

    cdef int open(self, RunningCheck check) except -1:
        """Open a socket whose connect is under way, or done, and watch it; raises OSError."""
        cdef bytes address = check.address()
        cdef Connection connection = check.socket
        cdef epoll_event event
        connection.open((<const sockaddr *><const char *>address).sa_family)
        if connection.family != AF_UNIX:
            if check.dialect is not CONNECT_ONLY:  # no send waits for the ACK of the one before
                connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            if not check.wanted.quick_ack:
                connection.setsockopt(IPPROTO_TCP, TCP_QUICKACK, 0)
            if check.plan.source is not None:
                with connection.lent() as whole:
                    come_from(whole, check.plan.source)
        connection.connect(address)
        event.events, event.data.u64 = EPOLLOUT, connection.descriptor
        return watch(self.set, EPOLL_CTL_ADD, connection.descriptor, &event)

    def ended(self, int events_max) -> list:
        """Go on where sockets are ready, so many at most; the checks that ended by it, closed."""
        cdef list found = []
        cdef RunningCheck check
        cdef int event
        cdef int count = epoll_wait(self.set, self.found, min(events_max, EVENTS_MAX), 0)
        for event in range(count):
            check = self._checks[self.found[event].data.u64]
            result = self.advance(check, self.found[event].events)
            if result is not None:
                self.give_up(check)
                found.append((check, outcome_of(result, check.began_ns)))
        return found

    cdef object advance(self, RunningCheck check, unsigned int happened):
        """One step of a check to whose socket something happened; None while it goes on."""
        cdef unsigned int awaited = check.awaited()
        cdef epoll_event event
        cdef int code
        if check.exchange is not None:
            answer = check.exchange.resume()
        elif check.tls is not None:
            answer = self.shake(check)
        else:
            code = check.socket.error() if happened & (EPOLLERR | EPOLLHUP) else 0
            if code != 0:
                return failed_connect(code, check.dialect.place)
            answer = self.connected(check)
        if isinstance(answer, Result):
            return answer
        if isinstance(answer, Connect):
            return self.connect_again(check, answer)
        if check.awaited() != awaited:
            event.events, event.data.u64 = check.awaited(), check.socket.descriptor
            watch(self.set, EPOLL_CTL_MOD, check.socket.descriptor, &event)
        return None

    cdef object connected(self, RunningCheck check):
        """The connection is there: begin what comes next."""
        wanted = check.wanted
        header = check.plan.header if wanted.header is None else wanted.header
        if header is not NO_HEADER:
            with suppress(OSError):  # whether it arrives is not what is checked
                own, server = check.socket.ends()
                data = check_header(header, own, server, never_local=self.never_local)
                check.socket.send(data, MSG_NOSIGNAL)
        if wanted.told is not None:
            with suppress(OSError):  # the exchange finds that it is broken
                wanted.told(*check.socket.ends())
        if wanted.reset_on_close:
            check.socket.reset_on_close()
        if check.plan.tls is not None:
            check.tls = check.plan.tls.stream(check.socket, wanted)
        if check.tls is not None:
            return self.shake(check)
        return self.begin_exchange(check, CONNECTED)

    cdef object shake(self, RunningCheck check):
        """One step of the handshake, and what follows its end."""
        if not check.tls.shake():
            return None
        if check.tls.failure:
            return Result(CheckStatus.L6RSP, 0, check.tls.failure + check.dialect.place)
        return self.begin_exchange(check, SECURED)

    cdef object begin_exchange(self, RunningCheck check, moment):
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
            self._limit(check, monotonic_ns() // 1_000_000 + <int64_t>exchange_ms)
        return answer

    cdef object connect_again(self, RunningCheck check, wanted):
        """Go on with another connection in the place of the present one."""
        self.give_up(check)
        check.wanted = wanted
        failed = self.connect(check)
        if failed is None:
            now_ms = monotonic_ns() // 1_000_000
            self._limit(check, now_ms + <int64_t>check.plan.limits.connect_ms)
        return failed

    def expired(self, int64_t now_ms, Py_ssize_t checks_max) -> list:
        """The checks whose time was up at `now_ms`, closed; so many at most.

        One whose socket is ready goes on first: it may have ended in time and only not been heard.
        """
        cdef list found = []
        cdef RunningCheck check
        cdef int64_t deadline_ms
        cdef unsigned int happened
        while len(found) < checks_max:
            check = self._take_expired(now_ms)
            if check is None:
                break
            deadline_ms = check.deadline_ms
            happened = what_happened(check)
            result = self.advance(check, happened) if happened else None
            if result is None and check.deadline_ms != deadline_ms:
                continue  # it has another limit now
            if result is None and check.exchange is not None:
                result = check.exchange.expire()
            if result is None and check.tls is not None:
                result = Result(CheckStatus.L6TOUT, 0, check.dialect.place)
            if result is None:
                result = failed_connect(ETIMEDOUT, check.dialect.place)
            self.give_up(check)
            found.append((check, outcome_of(result, check.began_ns)))
        return found

    def abandon(self, RunningCheck check) -> None:
        """Close the connection of a check, ended or not."""
        self.give_up(check)

    cdef int give_up(self, RunningCheck check) except -1:
        """The same."""
        if check.tls is not None and check.exchange is not None and check.wanted.notifies:
            check.tls.notify()
        self._checks.pop(check.socket.descriptor, None)
        check.socket.close()
        return 0


cdef int watch(int epoll, int operation, int descriptor, epoll_event *event) except -1:
    """Change what is watched; raises OSError."""
    if epoll_ctl(epoll, operation, descriptor, event) < 0:
        PyErr_SetFromErrno(OSError)
    return 0


cdef unsigned int what_happened(RunningCheck check):
    """What has happened of that which a check waits for, or its end; 0 for nothing."""
    cdef pollfd look
    look.fd, look.events, look.revents = check.socket.descriptor, check.awaited(), 0
    poll(&look, 1, 0)
    return look.revents  # the bits are those of epoll
