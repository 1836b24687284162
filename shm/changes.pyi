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
    def weight(self, *, allbackups: bool) -> int: ...

class UsableServers:
    looks: int
    def __init__(self, segment: Segment) -> None: ...
    def of(self, backend: int, warm_at_ms: int = 0) -> UsableCounts: ...
    def take_changed(self) -> set[int]: ...
