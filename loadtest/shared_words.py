"""Millrace's shared words, read from outside: the table generation that each worker has seen.

Owns which words of the segment this takes; where they lie is read from its map (shm/layout.pxd).
The segment is mapped read-only through a descriptor of the process, so reading costs Millrace
nothing and changes nothing.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.declarations import declared
from loadtest.process import ProgramFailedError

MAGIC = int.from_bytes(b"MILLRACE", "little")
SEGMENT_LINK = "/memfd:millrace"
WORD = 8
LAYOUT = declared("shm/layout.pxd")
HEADER, PROCESS = LAYOUT.structs["Header"], LAYOUT.structs["Process"]


class SharedWords:
    """The generation of the server table, and the one that each worker's relay has seen."""

    def __init__(self, memory: mmap.mmap) -> None:
        """Raises ProgramFailedError if the memory is no segment."""
        self._words = memoryview(memory).cast("Q")
        if self._words[HEADER.offsets["magic"] // WORD] != MAGIC:
            self._words.release()
            raise ProgramFailedError("the memory of this name is no segment")
        self._table = HEADER.offsets["table_generation"] // WORD
        areas = HEADER.offsets["offsets"] // WORD
        first = self._words[areas + LAYOUT.numbers["AREA_PROCESSES"]]
        first += PROCESS.offsets["generation_seen"]
        (workers,) = struct.unpack_from("=I", memory, HEADER.offsets["workers"])
        self._seen = [(first + worker * PROCESS.size) // WORD for worker in range(workers)]

    def table_generation(self) -> int:
        """How often a slot record has changed."""
        return int(self._words[self._table])

    def seen_by_all(self) -> int:
        """The generation that the relay of the slowest worker has acted on."""
        words = self._words
        return min(int(words[at]) for at in self._seen)

    def release(self) -> None:
        """Release the views, so that the mapping can be closed."""
        self._words.release()


@contextmanager
def shared_words(pid: int) -> Iterator[SharedWords]:
    """The words of the Millrace whose supervisor has this pid, while the block lasts."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if str(link.readlink()).startswith(SEGMENT_LINK):
            with (
                link.open("rb") as file,
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory,
            ):
                words = SharedWords(memory)
                try:
                    yield words
                finally:
                    words.release()
            return
    raise ProgramFailedError(f"process {pid} has no segment")
