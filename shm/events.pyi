"""Types of the compiled module; its documentation is in events.pyx."""

from typing import NamedTuple

EVENTS_MAX: int

class LoggedEvent(NamedTuple):
    sequence: int
    time_us: int
    level: int
    text: str

class EventRing:
    def __init__(self) -> None: ...
    @property
    def last(self) -> int: ...
    def write(self, time_us: int, level: int, text: str) -> None: ...
    def event(self, sequence: int) -> LoggedEvent | None: ...
