"""Types of the compiled module; its documentation is in repeats.pyx."""

from collections.abc import Callable
from typing import Any

from resolverd.config import Nameserver
from resolverd.dns.answer import Answer
from resolverd.pace.jitter import Jitter
from resolverd.resolution.repetition import Note, Repeatable, Repeated, RepeatReceiver
from resolverd.transport.udp import NameserverSockets, OpenQuery

def form_of(reply: bytes) -> bytes | None: ...

class Repeats:
    @property
    def quiet(self) -> set[str]: ...
    def __init__(
        self,
        section: str,
        receiver: RepeatReceiver,
        count: Callable[[int, str], None],
        note: Note,
        jitter: Jitter,
    ) -> None: ...
    def settle(self) -> None: ...
    def follow(
        self,
        sockets: list[NameserverSockets[Any]],
        nameservers: tuple[Nameserver, ...],
        retry_ms: int,
    ) -> None: ...
    def release(self) -> None: ...
    def change(self) -> None: ...
    def answer(self, key: int) -> Answer | None: ...
    def keep(
        self,
        key: int,
        run: Repeatable,
        reply: bytes,
        wires: tuple[bytes, ...],
        until_ms: int,
        *,
        same: bool,
    ) -> bool: ...
    def next_ms(self) -> int | None: ...
    def serve(self, now_ms: int) -> None: ...
    def take(self, key: int) -> tuple[Repeated, list[tuple[OpenQuery[Any], Nameserver, bytes]]]: ...
