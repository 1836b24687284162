"""Types of the compiled module; its documentation is in loads.pyx."""

from typing import NamedTuple

from shm.segment import Segment

class Load(NamedTuple):
    sessions: int
    queued: int
    backend_sessions: int

class Loads:
    def __init__(self, segment: Segment) -> None: ...
    def server(self, slot: int) -> Load: ...
