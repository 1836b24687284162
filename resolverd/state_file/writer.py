"""Writes server state files: at most once a second, and only after a change.

Owns the files while resolverd runs. A new file is written beside the former and renamed, by the
descriptor of its folder, so that a kill at any instruction leaves a complete one. Rows are read
from the segment, compared and rendered in small portions on the loop; a thread only writes the
bytes, because any other work in it would hold the interpreter lock. So neither a large
configuration nor a slow disk delays DNS. Knows no DNS.

A failed write is logged once and repeated every RETRY_MS.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor  # imported here: no import works after chroot
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from resolverd.config import StateFile, StateMembers
from resolverd.state_file.format import (
    FILE_BYTES_MAX,
    HEADER,
    StateFileError,
    StateRow,
    parse,
    render,
)
from resolverd.state_file.rows import DatedRow, Doubles, RowReader
from shm.check_orders import CheckOrders
from shm.files import read_whole
from shm.log_level import Log, LogLevel
from shm.segment import Segment

Each = TypeVar("Each")

PAUSE_MS = 1_000  # between two looks that may lead to a write
SWEEP_MS = 10_000  # between two looks at values without a generation (names, counters of checks)
PAUSE_SHARE = 5  # a pause is at least this many times as long as the look before it
SWEEP_SHARE = 50
RETRY_MS = 5_000  # after a failed write
ROWS_PER_TURN = 64  # of a portion between two turns of the loop: about a millisecond
MODE = 0o644  # it holds no more than `show servers state` prints
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
OPEN_FOLDER = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY
OPEN_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


def now_ms() -> int:
    """CLOCK_MONOTONIC in milliseconds."""
    return time.monotonic_ns() // 1_000_000


class FileInFolder(NamedTuple):
    """A file by the descriptor of its folder."""

    folder: int
    name: str


def read(target: FileInFolder) -> bytes:
    """The content of the file; raises OSError, also if it is no regular file."""
    descriptor = os.open(target.name, OPEN_FILE, dir_fd=target.folder)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "Not a regular file")
        return read_whole(descriptor, FILE_BYTES_MAX)
    finally:
        os.close(descriptor)


def replace(target: FileInFolder, content: bytes | bytearray) -> None:
    """Replace the file by `content`, completely or not at all; raises OSError.

    A `.NAME.new` in the folder (of a killed predecessor, or a link or FIFO of another user) is
    unlinked first, so that the write follows no link and blocks on no FIFO. A file that is not
    regular is never replaced.
    """
    with suppress(FileNotFoundError):
        former = os.stat(target.name, dir_fd=target.folder, follow_symlinks=False)
        if not stat.S_ISREG(former.st_mode):
            raise OSError(0, "Not a regular file")
    beside = f".{target.name}.new"
    with suppress(FileNotFoundError):
        os.unlink(beside, dir_fd=target.folder)
    descriptor = os.open(beside, CREATE, MODE, dir_fd=target.folder)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)  # else the rename may reach the disk before the data
        os.replace(beside, target.name, src_dir_fd=target.folder, dst_dir_fd=target.folder)
    except OSError:
        with suppress(OSError):
            os.unlink(beside, dir_fd=target.folder)
        raise


def _portions(of: Sequence[Each]) -> Iterator[Sequence[Each]]:
    """Slices of ROWS_PER_TURN."""
    return (of[first : first + ROWS_PER_TURN] for first in range(0, len(of), ROWS_PER_TURN))


class StateWriter:
    """One state file; `look` is called on every tick."""

    def __init__(
        self,
        file: StateFile,
        segment: Segment,
        log: Log,
        loop: asyncio.AbstractEventLoop,
        orders: CheckOrders | None = None,
        *,
        members: StateMembers | None = None,
    ) -> None:
        """Reads the present file; nothing is written before the first look."""
        self._servers = {server.slot: server for server in file.servers}
        self._backends = file.backends
        self._members = members
        self._path = Path(file.path)
        self.folder = file.folder
        self._segment = segment
        self._log = log
        self._loop = loop
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._written: list[StateRow] | None = None
        self._follow_members()
        self._reader = RowReader(segment, self._former_rows(), orders)
        self._seen: int | None = None  # the table's generation at the last look
        self._looked_ms = 0
        self._pause_ms, self._sweep_ms = 0, SWEEP_MS
        self._began_ms = 0
        self.busy = False  # from a look to the end of its write
        self._portions: Iterator[None] = iter(())
        self._complaining = False

    def _former_rows(self) -> dict[int, StateRow]:
        """The rows of the present file by slot: it may have addresses that the segment has lost."""
        if self.folder is None:
            return {}
        try:
            rows = parse(read(FileInFolder(self.folder, self._path.name)))
        except (OSError, StateFileError):  # the supervisor has loaded it and logged this
            return {}
        self._written = list(rows.values())
        names = {(server.backend_name, server.name): slot for slot, server in self._servers.items()}
        return {names[name]: row for name, row in rows.items() if name in names}

    def _follow_members(self) -> list[int]:
        """Bring the servers up to date; the slots that have no server any more, or another."""
        if self._members is None:
            return []
        news = self._members.news()
        for slot in news.gone:
            self._servers.pop(slot, None)
        for server in news.come:
            if server.backend_name in self._backends:
                self._servers[server.slot] = server
        if news.come:
            self._servers = dict(sorted(self._servers.items()))
        return news.gone

    def look(self, at_ms: int) -> None:
        """Begin to read the servers, after a pause and if something has changed."""
        generation = self._segment.table_generation
        waited_ms = at_ms - self._looked_ms
        if self.busy or waited_ms < self._pause_ms:
            return
        if generation == self._seen and waited_ms < self._sweep_ms:
            return
        self.busy = True
        self._seen = generation  # read before the records: a later change causes another look
        self._looked_ms = at_ms
        self._began_ms = now_ms()
        self._portions = self._work()
        self._go_on()

    def close(self) -> None:
        """Wait for a write under way. For tests: the process of resolverd ends without it."""
        self._thread.shutdown()

    def _go_on(self) -> None:
        """Do the next portion of a look."""
        try:
            next(self._portions)
        except StopIteration:
            return
        except BlockingIOError:
            self._seen = None  # the next look begins again
            self.busy = False
            return
        self._loop.call_soon(self._go_on)

    def _work(self) -> Iterator[None]:
        """Read, compare and render all servers, ROWS_PER_TURN in a portion; then write.

        Raises BlockingIOError where a record cannot be read at the moment.
        """
        doubles, found = Doubles(), list[DatedRow]()
        for slot in self._follow_members():
            self._reader.forget(slot)
        for servers in _portions(tuple(self._servers.values())):
            for server in servers:
                found.append(self._reader.read(server))
                doubles.note(found[-1])
            yield
        took_ms = now_ms() - self._began_ms
        self._pause_ms = max(PAUSE_MS, took_ms * PAUSE_SHARE)
        self._sweep_ms = max(SWEEP_MS, took_ms * SWEEP_SHARE)
        rows: list[StateRow] = []
        former = self._written or []
        changed = self._written is None or len(former) != len(found)
        for portion in _portions(found):
            first = len(rows)
            rows += [doubles.settled(each).row for each in portion]
            changed = changed or rows[first:] != former[first : len(rows)]
            yield
        if not changed:
            self.busy = False
            return
        content = bytearray(HEADER, "ascii")
        at_ms = now_ms()
        for pairs in _portions(list(zip(rows, found, strict=True))):
            for row, each in pairs:
                content += render(row, max(0, at_ms - each.changed_ms) // 1_000).encode("ascii")
            yield
        future = self._loop.run_in_executor(self._thread, self._put, content)
        future.add_done_callback(lambda done: self._ended(rows, done.result()))

    def _put(self, content: bytearray) -> str | None:
        """Write the file, in the thread; the text of the error, None after success."""
        try:
            if self.folder is None or self._complaining:
                self._reopen()
            assert self.folder is not None
            replace(FileInFolder(self.folder, self._path.name), content)
        except OSError as error:
            return error.strerror or str(error)
        return None

    def _reopen(self) -> None:
        """Open the folder anew, as it may have been replaced; after chroot keep the open one."""
        try:
            folder = os.open(self._path.parent, OPEN_FOLDER)
        except OSError:
            if self.folder is None:
                raise
            return
        if self.folder is None:
            self.folder = folder
        else:
            os.dup2(folder, self.folder, inheritable=False)
            os.close(folder)

    def _ended(self, rows: list[StateRow], failure: str | None) -> None:
        self.busy = False
        if failure is None:
            self._written = rows
            if self._complaining:
                self._complaining = False
                self._log(LogLevel.NOTICE, f"server state file '{self._path}' is written again.")
            return
        self._seen = None
        self._pause_ms = RETRY_MS
        if not self._complaining:
            self._complaining = True
            self._log(
                LogLevel.WARNING, f"server state file '{self._path}' cannot be written: {failure}."
            )
