"""What follows a connect of one check: obeys a dialect over a non-blocking socket.

Owns the bytes in between: what the kernel has not taken yet, and what is too little to be given.
Knows neither deadline nor server, and leaves it to its user to wait and to close.

One event reads as much as the dialect has room for: a server that sends for ever delays no other
check, and what follows a step waits in the kernel.
"""

import errno

from proxy.relay.state.syscalls cimport EPOLLIN, EPOLLOUT, MSG_NOSIGNAL

from proxy.health.dialect.seam import Ended, Expect, Moment, Received, Result, Send

SENT, EXPIRED = Moment.SENT, Moment.EXPIRED
cdef object ANYTHING = Expect()


cdef class Exchange:
    """One connection's exchange; `begin` it, then `resume` whenever `events` occur.

    What they return is how it ended, or the connection that comes next; None when there is
    something to wait for.
    """

    def __init__(self, stream, dialect):
        """`stream`: the socket, or what encrypts between it and the exchange."""
        self.stream = stream
        self.dialect = dialect
        self.unsent = self.received = b""
        self.expected = ANYTHING
        self.whole = False  # the server has sent all that it will send

    cdef unsigned int awaited(self) noexcept:
        """What `resume` waits for, as epoll has it."""
        return EPOLLOUT if len(self.unsent) else EPOLLIN

    @property
    def events(self) -> int:
        """The same."""
        return self.awaited()

    cpdef object begin(self, object answer):
        """Obey the first answer."""
        return self.obey(answer)

    cpdef object resume(self):
        """Do what the socket allows."""
        cdef bytes data
        if len(self.unsent):
            return self.obey(Send(self.unsent))
        try:
            data = self.stream.recv(self.expected.bytes_max - len(self.received))
        except BlockingIOError:
            return None
        except OSError as error:
            return self.end(error)
        if not data:
            return self.end_of_stream()
        self.received = self.received + data if len(self.received) else data
        if len(self.received) < self.expected.bytes_min:
            return None
        data, self.received = self.received, b""
        return self.obey(self.dialect.answer(Received(data)))

    cpdef object expire(self):
        """Time is up; a `Result`."""
        return self.last(EXPIRED)

    cdef object obey(self, object answer):
        """Do what the dialect answered; None when there is something to wait for."""
        while isinstance(answer, Send):
            self.unsent = answer.data
            try:
                self.send()
            except OSError as error:
                return self.end(error)
            if len(self.unsent):
                return None
            answer = self.dialect.answer(SENT)
        if not isinstance(answer, Expect):
            return answer
        if self.whole:
            return self.last(Ended(b"", 0))
        self.expected = answer
        return None

    cdef object end_of_stream(self):
        """The server sends no more; it may still receive."""
        cdef bytes data = self.received
        self.whole, self.received = True, b""
        return self.obey(self.dialect.answer(Ended(data, 0)))

    cdef int send(self) except -1:
        """Give the kernel what it takes; raises OSError when the connection is broken."""
        try:
            taken = self.stream.send(self.unsent, MSG_NOSIGNAL)
        except BlockingIOError:
            return 0
        self.unsent = self.unsent[taken:]
        return 0

    cdef object end(self, error):
        """The connection is broken; what came before that may still be an answer."""
        cdef bytes data = self.received
        self.whole, self.received, self.unsent = True, b"", b""
        ended = Ended(data, error.errno or errno.EPIPE, error.strerror or "")
        return self.obey(self.dialect.answer(ended))

    cdef object last(self, event):
        """The answer to an event after which there is none."""
        answer = self.dialect.answer(event)
        assert isinstance(answer, Result), f"{self.dialect} has no result after {event}"
        return answer


cdef class TlsExchange(Exchange):
    """One exchange over TLS: what came with the bytes before is taken without an event."""

    cpdef object begin(self, object answer):
        """Obey the first answer."""
        return self.take_rest(self.obey(answer))

    cpdef object resume(self):
        """As of any exchange."""
        return self.take_rest(Exchange.resume(self))

    cdef object take_rest(self, answer):
        """Go on while there is something to take; it is less than two events bring."""
        while answer is None and not len(self.unsent) and self.stream.pending:
            answer = Exchange.resume(self)
        return answer
