"""Types of the compiled module; its documentation is in udp.pyx."""

import asyncio
import socket
from collections.abc import Callable
from typing import Generic, TypeVar

from resolverd.config import Nameserver

SOCKETS_MAX: int
STRANGERS_MAX: int

Owner = TypeVar("Owner")

def numeric_target(
    nameserver: Nameserver, kind: socket.SocketKind
) -> tuple[socket.AddressFamily, tuple[str | int, ...] | tuple[int, bytes]]: ...

class OpenQuery(Generic[Owner]):
    owner: Owner
    @property
    def query_id(self) -> int: ...
    def close(self) -> None: ...
    def renew(self) -> None: ...

class NameserverSockets(Generic[Owner]):
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        nameserver: Nameserver,
        on_datagram: Callable[[bytes, Owner | None], bool],
        on_error: Callable[[], None],
        on_doubt: Callable[[OpenQuery[Owner]], None],
        on_turn: Callable[[], None],
        on_late: Callable[[], object],
        late_max: int,
    ) -> None: ...
    def send(self, wire: bytes, owner: Owner, now_ms: int) -> OpenQuery[Owner]: ...
    def renew(self, sent_ms: int) -> None: ...
    def read(self) -> None: ...
    def close(self) -> None: ...
