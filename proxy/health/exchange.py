"""What follows a connect of one check: obeys a dialect over a non-blocking socket.

Owns the bytes in between: what the kernel has not taken yet, and what is too little to be given.
Knows neither deadline nor server, and leaves it to its user to wait and to close.

One event reads at most RECEIVED_MAX bytes: a server that sends for ever delays no other check.
"""

from __future__ import annotations

import errno
import select
import socket

from proxy.health.dialect.seam import (
    RECEIVED_MAX,
    Answer,
    Connect,
    Dialect,
    Ended,
    Event,
    Expect,
    Moment,
    Received,
    Result,
    Send,
)


class Exchange:
    """One connection's exchange; `obey` the first answer, then `resume` whenever `events` occur."""

    __slots__ = ("_dialect", "_expected", "_received", "_socket", "_unsent", "_whole")

    def __init__(self, connection: socket.socket, dialect: Dialect) -> None:
        self._socket = connection
        self._dialect = dialect
        self._unsent = b""
        self._received = b""
        self._expected = 1
        self._whole = False  # the server has sent all that it will send

    @property
    def events(self) -> int:
        """What `resume` waits for, as epoll has it."""
        return select.EPOLLOUT if self._unsent else select.EPOLLIN

    def resume(self) -> Result | Connect | None:
        """Do what the socket allows; None while the exchange goes on."""
        if self._unsent:
            return self.obey(Send(self._unsent))
        try:
            data = self._socket.recv(RECEIVED_MAX - len(self._received))
        except BlockingIOError:
            return None
        except OSError as error:
            return self._end(error)
        self._received += data
        if not data:
            return self._end_of_stream()
        if len(self._received) < self._expected:
            return None
        event, self._received = Received(self._received), b""
        return self.obey(self._dialect.answer(event))

    def expire(self) -> Result:
        """Time is up."""
        return self._last(Moment.EXPIRED)

    def obey(self, answer: Answer) -> Result | Connect | None:
        """Do what the dialect answered; None when there is something to wait for."""
        while isinstance(answer, Send):
            self._unsent = answer.data
            try:
                self._send()
            except OSError as error:
                return self._end(error)
            if self._unsent:
                return None
            answer = self._dialect.answer(Moment.SENT)
        if not isinstance(answer, Expect):
            return answer
        if self._whole:
            return self._last(Ended(b"", 0))
        self._expected = min(answer.bytes_min, RECEIVED_MAX)
        return None

    def _end_of_stream(self) -> Result | Connect | None:
        """The server sends no more; it may still receive."""
        self._whole = True
        data, self._received = self._received, b""
        return self.obey(self._dialect.answer(Ended(data, 0)))

    def _send(self) -> None:
        """Give the kernel what it takes; raises OSError when the connection is broken."""
        try:
            taken = self._socket.send(self._unsent, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return
        self._unsent = self._unsent[taken:]

    def _end(self, error: OSError) -> Result | Connect | None:
        """The connection is broken; what came before that may still be an answer."""
        self._whole = True
        data, self._received, self._unsent = self._received, b"", b""
        return self.obey(self._dialect.answer(Ended(data, error.errno or errno.EPIPE)))

    def _last(self, event: Event) -> Result:
        """The answer to an event after which there is none."""
        answer = self._dialect.answer(event)
        assert isinstance(answer, Result), f"{self._dialect} has no result after {event}"
        return answer
