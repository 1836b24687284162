"""What follows a connect of one check: obeys a dialect over a non-blocking socket.

Owns the bytes in between: what the kernel has not taken yet, and what is too little to be given.
Knows neither deadline nor server, and leaves it to its user to wait and to close.

One event reads as much as the dialect has room for: a server that sends for ever delays no other
check, and what follows a step waits in the kernel.
"""

from __future__ import annotations

import errno
import select
import socket
from typing import Protocol

from proxy.health.dialect.seam import (
    Answer,
    Connect,
    Dialect,
    End,
    Ended,
    Event,
    Expect,
    Moment,
    Received,
    Result,
    Send,
)


class ByteStream(Protocol):
    """A socket, or what encrypts between it and the exchange."""

    def recv(self, bytes_max: int, /) -> bytes:
        """As a socket's."""

    def send(self, data: bytes, flags: int, /) -> int:
        """As a socket's; after BlockingIOError it is called with the same bytes again."""


class TlsLayer(ByteStream, Protocol):
    """A stream within another, which may hold what no descriptor tells of."""

    @property
    def pending(self) -> bool:
        """Whether `recv` has something to give."""


class Exchange:
    """One connection's exchange; `begin` it, then `resume` whenever `events` occur."""

    __slots__ = ("_dialect", "_expected", "_received", "_stream", "_unsent", "_whole")

    def __init__(self, stream: ByteStream, dialect: Dialect) -> None:
        self._stream = stream
        self._dialect = dialect
        self._unsent = b""
        self._received = b""
        self._expected = Expect()
        self._whole = False  # the server has sent all that it will send

    @property
    def events(self) -> int:
        """What `resume` waits for, as epoll has it."""
        return select.EPOLLOUT if self._unsent else select.EPOLLIN

    def begin(self, answer: Answer) -> Result | Connect | None:
        """Obey the first answer; None when there is something to wait for."""
        return self._obey(answer)

    def resume(self) -> Result | Connect | None:
        """Do what the socket allows; None while the exchange goes on."""
        if self._unsent:
            return self._obey(Send(self._unsent))
        try:
            data = self._stream.recv(self._expected.bytes_max - len(self._received))
        except BlockingIOError:
            return None
        except OSError as error:
            return self._end(error)
        self._received += data
        if not data:
            return self._end_of_stream()
        if len(self._received) < self._expected.bytes_min:
            return None
        event, self._received = Received(self._received), b""
        return self._obey(self._dialect.answer(event))

    def expire(self) -> Result:
        """Time is up."""
        return self._last(Moment.EXPIRED)

    def _obey(self, answer: Answer) -> Result | Connect | None:
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
        self._expected = answer
        return None

    def _end_of_stream(self) -> Result | Connect | None:
        """The server sends no more; it may still receive."""
        self._whole = True
        data, self._received = self._received, b""
        return self._obey(self._dialect.answer(Ended(data, 0)))

    def _send(self) -> None:
        """Give the kernel what it takes; raises OSError when the connection is broken."""
        try:
            taken = self._stream.send(self._unsent, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return
        self._unsent = self._unsent[taken:]

    def _end(self, error: OSError) -> Result | Connect | None:
        """The connection is broken; what came before that may still be an answer."""
        self._whole = True
        data, self._received, self._unsent = self._received, b"", b""
        ended = Ended(data, error.errno or errno.EPIPE, error.strerror or "")
        return self._obey(self._dialect.answer(ended))

    def _last(self, event: Event) -> Result:
        """The answer to an event after which there is none."""
        answer = self._dialect.answer(event)
        assert isinstance(answer, Result), f"{self._dialect} has no result after {event}"
        return answer


class TlsExchange(Exchange):
    """One exchange over TLS: what came with the bytes before is taken without an event."""

    __slots__ = ("_layer",)

    def __init__(self, layer: TlsLayer, dialect: Dialect) -> None:
        super().__init__(layer, dialect)
        self._layer = layer

    def begin(self, answer: Answer) -> Result | Connect | None:
        """Obey the first answer."""
        return self._take_rest(self._obey(answer))

    def resume(self) -> Result | Connect | None:
        """As of any exchange."""
        return self._take_rest(super().resume())

    def _take_rest(self, answer: Result | Connect | None) -> Result | Connect | None:
        """Go on while there is something to take; it is less than two events bring."""
        while answer is None and not self._unsent and self._layer.pending:
            answer = super().resume()
        return answer


def ends_of(connection: socket.socket) -> tuple[End, End]:
    """Our end of a connection, and the server's; raises OSError where it is broken."""
    if connection.family == socket.AF_UNIX:
        return None, None
    return connection.getsockname()[:2], connection.getpeername()[:2]
