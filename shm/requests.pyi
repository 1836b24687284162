"""Types of the compiled module; its documentation is in requests.pyx."""

from typing import NamedTuple

from shm.segment import Segment

class ConnectFailure(NamedTuple):
    slot: int
    timeouts: int
    refusals: int
    began_ms: int

class CheckRequests:
    def __init__(self, segment: Segment, worker: int) -> None: ...
    def timed_out(self, slot: int, began_ms: int) -> None: ...
    def refused(self, slot: int) -> None: ...

class RequestReader:
    def __init__(self, segment: Segment, from_now: bool = True) -> None: ...
    def changes(self) -> list[ConnectFailure]: ...

class ObservedReader:
    def __init__(self, segment: Segment) -> None: ...
    def errors(self, slot: int) -> tuple[int, int]: ...
