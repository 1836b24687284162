"""The UDP sockets towards one nameserver: random source ports, random ids, strict matching.

Owns descriptors and the open ids of each. Knows of DNS messages only the two bytes of the id (and
QR), and no resolution: an open query carries a value of its owner's. Compiled, because each
question of each run passes here.

Each query draws one of SOCKETS_MAX sockets and an id that is free there (RFC 5452 section 9.2). The
sockets are connected, so the kernel drops datagrams from other addresses and reports ICMP errors;
it chooses their ports at random. An old socket is replaced, so that guessing its port has to begin
again. A query without an answer retires all sockets that were open when it was sent: after a change
of routes, or of a middlebox's connection table, a former port may never get an answer again. A
retired socket is read until its last query is closed.

A reply under an id that was never used on its socket, or one that does not match the query with its
id, is a stranger: perhaps a forgery. STRANGERS_MAX of them while a query is open make it doubted:
its socket is retired, so that the next queries have other ports, and `on_doubt` is called.

The event loop watches one descriptor, an epoll set of all sockets towards the nameserver: one turn
of the loop reads one datagram from each that has some.

After a process was stopped for a while, its timers are due and answers are in its sockets, and the
loop may run the timers first. So `read` is to be called before a query is taken for unanswered.
"""

import os
import socket as sockets_of_python

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, ECONNREFUSED, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef extern from "<sys/socket.h>" nogil:
    ssize_t send(int fd, const void *buffer, size_t size, int flags)
    ssize_t recv(int fd, void *buffer, size_t size, int flags)

cdef extern from "<sys/random.h>" nogil:
    ssize_t getrandom(void *buffer, size_t size, unsigned int flags)

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        void *ptr
        int fd
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int EPOLL_CLOEXEC
    int EPOLL_CTL_ADD
    int EPOLLIN
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int fd, epoll_event *event)
    int epoll_wait(int epoll, epoll_event *events, int events_max, int timeout)

cdef extern from "<unistd.h>" nogil:
    int close_descriptor "close"(int fd)

SOCKETS_MAX = 16  # source ports in use towards one nameserver: 4 bits on top of the id's 16

cdef enum:
    REPLY_BIT = 0x80  # QR, in the third byte of a message (RFC 1035 section 4.1.1)
    STRANGERS = 10  # replies that match no query: more than stray datagrams
    SOCKET_AGE_MAX_MS = 60_000  # bounds the time for guessing one port
    READ_AT_ONCE_MAX = 512  # datagrams on one socket: more than its buffer holds
    HEADER_SIZE = 12  # bytes: what is shorter is no message
    DATAGRAM_MAX = 65_535  # bytes: the largest datagram of UDP
    QUERY_MAX = 512  # bytes: the longest name, its type and an OPT record are less
    QUERY_ID_BITS = 16
    QUERY_ID_MASK = 0xFFFF
    READY_MAX = 64  # sockets read in one turn of the loop; the others have the next

STRANGERS_MAX = STRANGERS


def numeric_target(nameserver, kind):
    """Family and address for connect().

    Raises OSError for a link-local address whose interface does not exist at the moment.
    """
    found = sockets_of_python.getaddrinfo(
        nameserver.address, nameserver.port, type=kind, flags=sockets_of_python.AI_NUMERICHOST
    )
    return found[0][0], found[0][4]


cdef class Repetition:
    cdef bint heard(self, OpenQuery query, const uint8_t *wire, Py_ssize_t size) except -1:
        return False

    cdef int give_back(self) except -1:
        return 0


cdef class QuerySocket:
    """One connected socket and the queries that are open on it, by id."""

    def __cinit__(self, NameserverSockets sockets, int fd, int64_t now_ms):
        self.sockets = sockets
        self.fd = fd
        self.opened_ms = now_ms
        self.open = {}
        self.asked_count = 0
        self.strangers = 0
        self.retired = False

    def __dealloc__(self):
        if self.fd >= 0:
            close_descriptor(self.fd)

    cdef bint was_asked(self, uint16_t query_id):
        cdef int at
        for at in range(self.asked_count):
            if self.asked[at] == query_id:
                return True
        return False


cdef class OpenQuery:
    """A query that was sent; open until it is answered or closed.

    `strangers` is its socket's count when it was sent, less those under its own id since.
    """

    cpdef object close(self):
        """Close the query: later answers to it are outdated."""
        cdef QuerySocket sent_on = self.sent_on
        if sent_on.open.get(self.query_id) is self:
            del sent_on.open[self.query_id]
            if sent_on.retired:
                sent_on.sockets.close_if_done(sent_on)

    def renew(self):
        """Retire all sockets that were open when it was sent; the query stays open."""
        self.sent_on.sockets.renew(self.sent_ms)

    def __class_getitem__(cls, owner):
        """The class itself: the type of owners is for checkers."""
        return cls


cdef class NameserverSockets:
    """Sends queries to one nameserver and passes on its datagrams.

    `on_datagram(wire, owner)` gets each datagram with the owner of the open query with its id (None
    without one) and returns whether it answers that query; `on_error` is called for each error that
    the kernel reports about an earlier query, `on_doubt(query)` once for a doubted query, which
    stays open, `on_turn` after the datagrams of one turn of the loop. A `Repetition` gets the
    datagrams of its queries before. `on_late` is called instead of `on_datagram` for those of up to
    `late_max` bytes that are of no open query: half of all, where two nameservers are asked.
    """

    def __cinit__(self, loop, nameserver, on_datagram, on_error, on_doubt, on_turn,
                  on_late, int late_max):
        """No socket is opened before the first query."""
        self.loop = loop
        self.nameserver = nameserver
        self.on_datagram = on_datagram
        self.on_error = on_error
        self.on_doubt = on_doubt
        self.on_turn = on_turn
        self.on_late = on_late
        self.late_max = late_max
        self.epoll = -1
        self.pool = [None] * SOCKETS_MAX
        self.retired = set()
        self.drawn = DRAWS
        self.buffer = <uint8_t *>malloc(DATAGRAM_MAX)
        if self.buffer == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.buffer)
        if self.epoll >= 0:
            close_descriptor(self.epoll)

    def __class_getitem__(cls, owner):
        """The class itself: the type of owners is for checkers."""
        return cls

    cpdef OpenQuery send(self, bytes wire, object owner, int64_t now_ms):
        """Send a query under an id of its own; the first two bytes of `wire` are replaced.

        Raises OSError when it cannot be sent; then no query is open.
        """
        cdef uint8_t datagram[QUERY_MAX]
        cdef Py_ssize_t size = PyBytes_GET_SIZE(wire)
        cdef uint32_t drawn = self.draw()
        cdef Py_ssize_t place = (drawn >> QUERY_ID_BITS) % len(self.pool)  # bits above the id
        cdef QuerySocket chosen = self.pool[place]
        cdef uint16_t query_id = drawn & QUERY_ID_MASK
        cdef OpenQuery query
        if size > QUERY_MAX:
            raise ValueError(f"a query of {size} bytes")
        if chosen is None or is_worn(chosen, now_ms):
            self.retire(place)
            chosen = self.pool[place] = self.connect(now_ms)
        while query_id in chosen.open:
            query_id = self.draw() & QUERY_ID_MASK
        memcpy(datagram, PyBytes_AS_STRING(wire), size)
        datagram[0], datagram[1] = query_id >> 8, query_id & 0xFF
        if send(chosen.fd, datagram, size, 0) < 0:
            if errno != ECONNREFUSED:  # the error of an earlier query; this one was not sent
                raise OSError(errno, os.strerror(errno))
            self.on_error()
            if send(chosen.fd, datagram, size, 0) < 0:
                raise OSError(errno, os.strerror(errno))
        chosen.asked[chosen.asked_count] = query_id
        chosen.asked_count += 1
        query = OpenQuery.__new__(OpenQuery)
        query.sent_on = chosen
        query.query_id = query_id
        query.owner = owner
        query.sent_ms = now_ms
        query.strangers = chosen.strangers
        query.doubted = False
        chosen.open[query_id] = query
        return query

    def renew(self, int64_t sent_ms):
        """Retire the sockets opened up to `sent_ms`; the queries on them stay open."""
        cdef Py_ssize_t place
        cdef QuerySocket each
        for place in range(len(self.pool)):
            each = self.pool[place]
            if each is not None and each.opened_ms <= sent_ms:
                self.retire(place)

    def read(self):
        """Read the sockets with open queries now, before the loop does."""
        cdef QuerySocket each
        cdef int _
        for each in [*self.pool, *self.retired]:
            if each is None:
                continue
            for _ in range(READ_AT_ONCE_MAX):
                if not each.open or not self.read_one(each):
                    break

    cpdef object close_if_done(self, QuerySocket each):
        """Close a retired socket without open queries."""
        if each.retired and not each.open and each.fd >= 0:
            close_descriptor(each.fd)  # the epoll set forgets it by that
            each.fd = -1
            self.retired.discard(each)

    def close(self):
        """Close everything; raises nothing."""
        cdef Py_ssize_t place
        cdef QuerySocket each
        for place in range(len(self.pool)):
            self.retire(place)
        for each in list(self.retired):
            each.open.clear()
            self.close_if_done(each)
        if self.epoll >= 0:
            self.loop.remove_reader(self.epoll)
            close_descriptor(self.epoll)
            self.epoll = -1

    def _readable(self):
        """Read one datagram from each socket that has some.

        Concurrent queries are on many sockets, seldom two on one. A second datagram is reported by
        the loop again; looking for it here would cost a system call each time.
        """
        cdef epoll_event ready[READY_MAX]
        cdef int found = epoll_wait(self.epoll, ready, READY_MAX, 0)
        cdef int at
        cdef list sockets = [<QuerySocket>ready[at].data.ptr for at in range(max(found, 0))]
        cdef QuerySocket each
        for each in sockets:
            if each.fd >= 0:  # what was read before may have closed it
                self.read_one(each)
        self.on_turn()

    cdef uint32_t draw(self) except? 0:
        """An unpredictable number; not to be used across a fork."""
        cdef ssize_t filled
        if self.drawn == DRAWS:
            filled = getrandom(self.draws, sizeof(self.draws), 0)
            while filled < 0 and errno == EINTR:
                filled = getrandom(self.draws, sizeof(self.draws), 0)
            if filled != sizeof(self.draws):
                raise OSError(errno, os.strerror(errno))
            self.drawn = 0
        self.drawn += 1
        return self.draws[self.drawn - 1]

    cdef QuerySocket connect(self, int64_t now_ms):
        cdef epoll_event event
        cdef QuerySocket opened
        family, target = numeric_target(self.nameserver, sockets_of_python.SOCK_DGRAM)
        with sockets_of_python.socket(
            family, sockets_of_python.SOCK_DGRAM | sockets_of_python.SOCK_CLOEXEC
        ) as connected:
            connected.setblocking(False)
            connected.connect(target)
            if self.epoll < 0:
                self.epoll = epoll_create1(EPOLL_CLOEXEC)
                if self.epoll < 0:
                    raise OSError(errno, os.strerror(errno))
                self.loop.add_reader(self.epoll, self._readable)
            opened = QuerySocket(self, connected.detach(), now_ms)
        event.events = EPOLLIN
        event.data.ptr = <void *>opened
        if epoll_ctl(self.epoll, EPOLL_CTL_ADD, opened.fd, &event) < 0:
            raise OSError(errno, os.strerror(errno))
        return opened

    cdef int retire(self, Py_ssize_t place) except -1:
        cdef QuerySocket former = self.pool[place]
        self.pool[place] = None
        if former is not None:
            former.retired = True
            self.retired.add(former)
            self.close_if_done(former)
        return 0

    cdef bint read_one(self, QuerySocket readable) except -1:
        """Read one datagram; False if there is none."""
        cdef ssize_t size = recv(readable.fd, self.buffer, DATAGRAM_MAX, 0)
        cdef uint16_t query_id
        cdef OpenQuery query
        cdef bint is_reply
        if size < 0:
            if errno == EAGAIN or errno == EINTR:
                return False
            self.on_error()
            return True
        query_id = self.buffer[0] << 8 | self.buffer[1] if size > 1 else 0
        is_reply = size > 2 and self.buffer[2] & REPLY_BIT  # a reflected query is no forgery
        query = readable.open.pop(query_id, None) if size > 1 else None
        if query is None and HEADER_SIZE <= size <= self.late_max:
            self.on_late()
            if is_reply:
                self.note_stranger(readable, query_id, None)
        elif query is None or not self.answers(query, size):
            wire = PyBytes_FromStringAndSize(<char *>self.buffer, size)
            if not self.on_datagram(wire, None if query is None else query.owner):
                if query is not None:
                    readable.open[query_id] = query  # not its answer: it goes on waiting
                if is_reply:
                    self.note_stranger(readable, query_id, query)
        if readable.retired:
            self.close_if_done(readable)
        return True

    cdef bint answers(self, OpenQuery query, Py_ssize_t size) except -1:
        """Whether the datagram repeats what its owner knows."""
        return isinstance(query.owner, Repetition) and (
            (<Repetition>query.owner).heard(query, self.buffer, size)
        )

    cdef int note_stranger(
            self, QuerySocket readable, uint16_t query_id, OpenQuery query) except -1:
        """Count a reply that answers no query; `query` is the open one with its id, if any."""
        cdef OpenQuery each
        if query is not None:
            query.strangers -= 1
        elif not readable.was_asked(query_id):
            readable.strangers += 1
        for each in list(readable.open.values()):
            if readable.strangers - each.strangers >= STRANGERS and not each.doubted:
                each.doubted = True
                if readable in self.pool:
                    self.retire(self.pool.index(readable))
                if isinstance(each.owner, Repetition):
                    (<Repetition>each.owner).give_back()
                self.on_doubt(each)
        return 0


cdef bint is_worn(QuerySocket each, int64_t now_ms):
    """Whether a socket is to be replaced."""
    return now_ms - each.opened_ms > SOCKET_AGE_MAX_MS or each.asked_count >= SOCKET_QUERIES
