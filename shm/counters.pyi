"""Types of the compiled module; its documentation is in counters.pyx, the fields' in rows.pxd."""

from typing import TypedDict

from shm.segment import Segment

OF_RELAYS: tuple[str, ...]
GAUGES: tuple[str, ...]

class WorkerFields(TypedDict):
    accepts: int
    sessions: int
    sessions_max: int
    accept_pauses: int
    maxconn_pauses: int
    bytes_out: int
    bytes_spliced: int
    pipes_used: int
    pipes_free: int
    buffer_bytes: int
    epoll_turns: int
    log_overflows: int
    schedule_builds: int
    slot_refreshes: int
    inspections_cut: int
    variables_lost: int
    terminations: list[int]

class CounterReader:
    def __init__(self, segment: Segment) -> None: ...
    def rows(self) -> int: ...
    def sessions(self) -> int: ...
    def worker(self, row: int | None = None) -> WorkerFields: ...
    def frontend(self, frontend: int, row: int | None = None) -> dict[str, int]: ...
    def backend(self, backend: int, row: int | None = None) -> dict[str, int]: ...
    def server(self, slot: int, row: int | None = None) -> dict[str, int]: ...
    def hits(self, rule: int, row: int | None = None) -> int: ...
    def nameserver(self, nameserver: int) -> dict[str, int]: ...
    def resolution(self, resolution: int) -> dict[str, int]: ...

def settle_dead_worker(segment: Segment, worker: int, *, last: bool = False) -> set[int]: ...
def mend_hints(segment: Segment, doubtful: set[int]) -> None: ...

class NameserverTable:
    def __init__(self, segment: Segment) -> None: ...
    def count(self, nameserver: int, counter: str, amount: int = 1) -> None: ...
    def reset(self, nameserver: int) -> None: ...
    def repeated(
        self,
        section: int,
        resolution: int,
        family: int,
        ended_ms: int,
        bucket: int,
        length_ms: int,
    ) -> None: ...
    def record(self, resolution: int, **fields: int) -> None: ...
