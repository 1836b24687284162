"""Types of the compiled module; its documentation is in rounds.pyx."""

from random import Random
from typing import Generic

from proxy.health.attempts import A, Attempts
from proxy.health.timetable import Timetable
from proxy.health.watched import Watched
from shm.segment import Segment
from shm.slots import HealthTableWriter

CHECKS_AT_ONCE: int

class Rounds(Generic[A]):
    late: int
    _attempts: Attempts[A]
    _timetable: Timetable
    _writer: HealthTableWriter
    _watched: dict[int, Watched[A]]
    _in_flight_max: int
    def __init__(
        self,
        segment: Segment,
        attempts: Attempts[A],
        servers: int,
        in_flight_max: int,
        spread_percent: int,
        random: Random,
    ) -> None: ...
    def _share_places(self, servers: int) -> None: ...
    def _forget(self, slot: int) -> None: ...
    def _turn(self) -> None: ...
    def _begin_due(self) -> None: ...
    def _release(self, watched: Watched[A]) -> None: ...
