"""Types of the compiled module; its documentation is in moving.pyx."""

from collections.abc import Iterator

from shm.tables.memory import StickTable

def moved_entries(source: StickTable, target: StickTable, now_ms: int) -> Iterator[int]: ...
