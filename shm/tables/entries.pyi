"""Types of the compiled module; its documentation is in entries.pyx."""

import enum
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from shm.tables.memory import StickTable
from shm.tables.shape import TableData

class Entry(NamedTuple):
    cell: int
    key: bytes
    left_ms: int
    sessions: int
    values: tuple[tuple[int, ...], ...]

class Removal(enum.Enum):
    REMOVED = 0
    ABSENT = 1
    IN_USE = 2

class TableReader:
    owner: StickTable
    def __init__(self, owner: StickTable) -> None: ...
    def find(self, key: bytes, now_ms: int) -> Entry | None: ...
    def pages(self, now_ms: int) -> Iterator[list[Entry]]: ...
    def used(self, now_ms: int) -> Iterator[int]: ...
    def page(self, first: int, count: int, now_ms: int) -> list[Entry]: ...

class TableEditor:
    owner: StickTable
    def __init__(self, owner: StickTable, writer: int) -> None: ...
    def update(
        self, key: bytes, values: Mapping[TableData, tuple[int | None, ...]], now_ms: int
    ) -> bool: ...
    def remove(self, key: bytes, now_ms: int) -> Removal: ...
