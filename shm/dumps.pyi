"""Types of the compiled module; its documentation is in dumps.pyx."""

from collections.abc import Iterator
from typing import NamedTuple

from shm.segment import Segment

FIRST: int
NEXT: int
END: int
ANY: int
PAGE_RECORDS: int

class DumpedAddress(NamedTuple):
    family: int
    host: str
    port: int

class DumpedSession(NamedTuple):
    place: int
    started_ms: int
    attempt_ms: int
    deadline_ms: int
    client_activity_ms: int
    server_activity_ms: int
    client_bytes: int
    server_bytes: int
    client_waiting: int
    server_waiting: int
    frontend: int
    backend: int
    slot: int
    client_fd: int
    server_fd: int
    client_flags: int
    server_flags: int
    retries: int
    state: int
    flags: int
    error: int
    deadline_kind: int
    bind: int
    source: DumpedAddress | None
    front: DumpedAddress | None
    own: DumpedAddress | None
    server: DumpedAddress | None

class DumpPage(NamedTuple):
    records: bytes
    last: bool
    ended: int

def sessions_of(records: bytes) -> Iterator[DumpedSession]: ...

class SessionDumps:
    def __init__(self, segment: Segment) -> None: ...
    def ask(
        self,
        worker: int,
        kind: int,
        *,
        before_ms: int = 0,
        place: int = 0,
        started_ms: int = 0,
        frontend: int = ...,
        backend: int = ...,
        slot: int = ...,
    ) -> int: ...
    def answer(self, worker: int, number: int) -> DumpPage | None: ...
