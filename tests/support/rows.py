"""Writes rows of counters by the byte map of `shm/rows.pxd`, as workers and the supervisor do."""

from __future__ import annotations

import ctypes
import mmap
import re
from pathlib import Path
from typing import TYPE_CHECKING

from shm.counters import GAUGES
from shm.segment import Segment, row_bytes

if TYPE_CHECKING:
    from shm.counters import WorkerFields  # exists for type checkers only

ROWS = Path(__file__).parents[2] / "shm" / "rows.pxd"
AREA_ROWS = 10
WORD_BYTES = 8


def words_of(struct: str) -> tuple[dict[str, int], int]:
    """Where each field of a struct begins, and how many words it has in all."""
    text = re.sub(r"#.*", "", ROWS.read_text())
    body = re.search(rf"cdef struct {struct}:\n((?:\s+uint64_t .*\n|\s*\n)+)", text)
    assert body is not None, struct
    places: dict[str, int] = {}
    place = 0
    for line in body[1].split("\n"):
        for name, count in re.findall(r"(\w+)(?:\[(\d+)\])?", line.replace("uint64_t", "")):
            places[name] = place
            place += int(count or 1)
    return places, place


class CarriedRow:
    """The last row of a segment, which no process writes; gauges are left out as at a reload."""

    def __init__(self, segment: Segment) -> None:
        shape = segment.shape
        self._memory = mmap.mmap(segment.fd, segment.size)
        at = segment.offsets()[AREA_ROWS] + shape.workers * row_bytes(shape)
        self._parts = {}
        counts = (("Worker", 1), ("Frontend", shape.frontends), ("Backend", shape.backends))
        for kind, count in (*counts, ("Server", shape.slots)):
            places, words = words_of(f"{kind}Counters")
            self._parts[kind] = at, places, words
            at += count * words * WORD_BYTES

    def worker(self, fields: WorkerFields) -> None:
        """Counters of the process."""
        ended = fields["terminations"]
        plain = {name: value for name, value in fields.items() if name != "terminations"}
        self._write("Worker", 0, plain)
        first, places, _ = self._parts["Worker"]
        for number, count in enumerate(ended):
            self._store(first + (places["terminations"] + number) * WORD_BYTES, count)

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
        first, places, words = self._parts[kind]
        for name, value in fields.items():
            at = first + (index * words + places[name]) * WORD_BYTES
            self._store(at, 0 if name in GAUGES else int(str(value)))

    def _store(self, at: int, value: int) -> None:
        ctypes.c_uint64.from_buffer(self._memory, at).value = value
