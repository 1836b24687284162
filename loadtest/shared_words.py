"""Millrace's shared words, read from outside: how far each worker has followed the server table.

Owns the few offsets of the segment's layout (shm/layout.pxd) that this takes; a test holds them
against a segment of this checkout. The segment is mapped read-only through a descriptor of the
process, so reading costs Millrace nothing and changes nothing.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.process import ProgramFailedError

MAGIC = 0x454341524C4C494D
SEGMENT_LINK = "/memfd:millrace"
WORD = 8
AREA_PROCESSES = 1
OFFSETS_AND_SPARE = 25  # words between creation time and table generation, the offsets first
PROCESS_BYTES = 128
GENERATION_SEEN_BYTES = 88  # from the start of a process record


class Header(ctypes.Structure):
    """The start of the segment."""

    _fields_ = (
        ("magic", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("slots", ctypes.c_uint32),
        ("backends", ctypes.c_uint32),
        ("frontends", ctypes.c_uint32),
        ("workers", ctypes.c_uint32),
        ("sockets", ctypes.c_uint32),
        ("nameservers", ctypes.c_uint32),
        ("resolutions", ctypes.c_uint32),
        ("reload_generation", ctypes.c_uint32),
        ("created_ms", ctypes.c_int64),
        ("offsets", ctypes.c_uint64 * OFFSETS_AND_SPARE),
        ("table_generation", ctypes.c_uint64),
    )


class SharedWords:
    """The generation of the server table, and the one that each worker's relay has seen."""

    def __init__(self, memory: mmap.mmap) -> None:
        """Raises ProgramFailedError for memory that is no segment."""
        header = Header.from_buffer_copy(memory)
        if header.magic != MAGIC:
            raise ProgramFailedError("the memory of this name is no segment")
        self._words = memoryview(memory).cast("Q")
        self._table = Header.table_generation.offset // WORD
        first = header.offsets[AREA_PROCESSES] + GENERATION_SEEN_BYTES
        self._seen = [(first + worker * PROCESS_BYTES) // WORD for worker in range(header.workers)]

    def table_generation(self) -> int:
        """How often a slot record has changed."""
        return int(self._words[self._table])

    def seen_by_all(self) -> int:
        """The generation that the relay of the slowest worker has acted on."""
        words = self._words
        return min(int(words[at]) for at in self._seen)

    def release(self) -> None:
        """Let the mapping be closed."""
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
