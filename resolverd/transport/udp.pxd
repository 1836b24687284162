# The UDP sockets towards one nameserver, for compiled callers; udp.pyx has their rules.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

cdef enum:
    SOCKET_QUERIES = 256  # in the life of a socket, which keeps all their ids
    DRAWS = 1024  # numbers of one getrandom(): a call for each query would cost more than the query


cdef class Repetition:
    """An owner of queries whose replies are compared, not read."""

    # Whether the reply ends the run as the last one did; if not, `owner` of its queries is another.
    cdef bint heard(self, OpenQuery query, const uint8_t *wire, Py_ssize_t size) except -1
    # Give its queries to another owner.
    cdef int give_back(self) except -1


cdef class QuerySocket:
    cdef NameserverSockets sockets
    cdef int fd
    cdef int64_t opened_ms
    cdef dict open  # the open queries by id
    cdef uint16_t asked[SOCKET_QUERIES]  # all ids so far: a late or repeated reply is no stranger
    cdef int asked_count
    cdef int strangers
    cdef bint retired

    cdef bint was_asked(self, uint16_t query_id)


cdef class OpenQuery:
    cdef QuerySocket sent_on
    cdef readonly uint16_t query_id
    cdef public object owner
    cdef int64_t sent_ms
    cdef int strangers
    cdef bint doubted

    cpdef object close(self)


cdef class NameserverSockets:
    cdef object loop
    cdef object nameserver
    cdef object on_datagram
    cdef object on_error
    cdef object on_doubt
    cdef object on_turn
    cdef object on_late
    cdef int late_max
    cdef int epoll
    cdef list pool
    cdef set retired
    cdef uint32_t draws[DRAWS]
    cdef int drawn
    cdef uint8_t *buffer

    cpdef OpenQuery send(self, bytes wire, object owner, int64_t now_ms)
    cpdef object close_if_done(self, QuerySocket each)
    cdef uint32_t draw(self) except? 0
    cdef QuerySocket connect(self, int64_t now_ms)
    cdef int retire(self, Py_ssize_t place) except -1
    cdef bint answers(self, OpenQuery query, Py_ssize_t size) except -1
    cdef bint read_one(self, QuerySocket readable) except -1
    cdef int note_stranger(self, QuerySocket readable, uint16_t query_id, OpenQuery query) except -1
