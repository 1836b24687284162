"""Writes rows of counters by the byte map of `shm/rows.pxd`, as workers and the supervisor do."""

from __future__ import annotations

import ctypes
import mmap
from typing import TYPE_CHECKING

from loadtest.declarations import declared
from shm.counters import GAUGES
from shm.segment import Segment, row_bytes

if TYPE_CHECKING:
    from shm.counters import WorkerFields  # exists for type checkers only

AREA_ROWS = declared("shm/layout.pxd").numbers["AREA_ROWS"]
STRUCTS = declared("shm/rows.pxd").structs
WORD_BYTES = 8


class RowWords:
    """The words of one row, by the fields of its structs."""

    def __init__(self, segment: Segment, row: int) -> None:
        shape = segment.shape
        self._memory = mmap.mmap(segment.fd, segment.size)
        at = segment.offsets()[AREA_ROWS] + row * row_bytes(shape)
        self._parts: dict[str, int] = {}
        counts = (("Worker", 1), ("Frontend", shape.frontends), ("Backend", shape.backends))
        for kind, count in (*counts, ("Server", shape.slots)):
            self._parts[kind] = at
            at += count * STRUCTS[f"{kind}Counters"].size

    def word(self, kind: str, index: int, field: str, element: int = 0) -> ctypes.c_uint64:
        """A field of the `index`-th Worker, Frontend, Backend or Server."""
        struct = STRUCTS[f"{kind}Counters"]
        at = self._parts[kind] + index * struct.size + struct.offsets[field]
        return ctypes.c_uint64.from_buffer(self._memory, at + element * WORD_BYTES)


class CarriedRow:
    """The last row of a segment, which no process writes; gauges are left out as at a reload."""

    def __init__(self, segment: Segment) -> None:
        self._words = RowWords(segment, segment.shape.workers)

    def worker(self, fields: WorkerFields) -> None:
        """Counters of the process."""
        ended = fields["terminations"]
        plain = {name: value for name, value in fields.items() if name != "terminations"}
        self._write("Worker", 0, plain)
        for number, count in enumerate(ended):
            self._words.word("Worker", 0, "terminations", number).value = count

    def frontend(self, frontend: int, fields: dict[str, int]) -> None:
        """Counters of a frontend."""
        self._write("Frontend", frontend, fields)

    def backend(self, backend: int, fields: dict[str, int]) -> None:
        """Counters of a backend."""
        self._write("Backend", backend, fields)

    def server(self, slot: int, fields: dict[str, int]) -> None:
        """Counters of a server."""
        self._write("Server", slot, fields)

    def _write(self, kind: str, index: int, fields: dict[str, object]) -> None:
        for name, value in fields.items():
            found = self._words.word(kind, index, name)
            found.value = 0 if name in GAUGES else int(str(value))
