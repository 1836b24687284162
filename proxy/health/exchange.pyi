"""Types of the compiled module; its documentation is in exchange.pyx."""

from typing import Protocol

from proxy.health.dialect.seam import Answer, Connect, Dialect, Result

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
    def __init__(self, stream: ByteStream, dialect: Dialect) -> None: ...
    @property
    def events(self) -> int: ...
    def begin(self, answer: Answer) -> Result | Connect | None: ...
    def resume(self) -> Result | Connect | None: ...
    def expire(self) -> Result: ...

class TlsExchange(Exchange):
    def __init__(self, layer: TlsLayer, dialect: Dialect) -> None: ...
