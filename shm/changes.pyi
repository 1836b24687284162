"""Types of the compiled module; its documentation is in changes.pyx."""

from typing import NamedTuple

from shm.segment import Segment

class ChangeReader:
    def __init__(self, segment: Segment) -> None: ...
    def backends(self) -> set[int] | None: ...
    def slots(self) -> list[int] | None: ...

class UsableCounts(NamedTuple):
    active: int
    backup: int
    active_weight: int
    backup_weight: int
    first_backup_weight: int

class UsableServers:
    looks: int
    def __init__(self, segment: Segment) -> None: ...
    def of(self, backend: int) -> UsableCounts: ...
    def take_changed(self) -> set[int]: ...
