"""Questions about sessions to the relays of the workers, each with a deadline.

Owns how long a worker is waited for. One that is dead, stopped or does not look in time has no
answer, and the others answer all the same. Knows no command.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

from proxy.control.limits import SESSIONS_LOOK_SECONDS, SESSIONS_SECONDS_MAX
from proxy.runtime import Runtime, ring
from shm.dumps import ANY, END, FIRST, NEXT, DumpPage, SessionDumps
from shm.locks import ADMIN_WRITER, SecondWriterError, take_role
from shm.processes import ProcessBoard

EVERY_MS = (1 << 63) - 1  # before which all sessions began
SILENT = "does not answer"
GONE = "has ended"


class UnansweredError(Exception):
    """A worker gives no answer: what is said of it."""


class Wanted(NamedTuple):
    """The sessions that a question is about: all words hold."""

    before_ms: int = EVERY_MS  # they began before that time
    frontend: int = ANY
    backend: int = ANY
    slot: int = ANY
    place: int = 0  # of one session, with its start
    started_ms: int = 0


class Relays:
    """The relays of one generation; one question at a time: the next one replaces it."""

    def __init__(self, runtime: Runtime, *, old: bool = False) -> None:
        """Of an `old` generation the control that was its own may still ask."""
        self.workers = runtime.workers
        self._segment = runtime.segment
        self._bells = runtime.bells.relays
        self._dumps = SessionDumps(runtime.segment)
        self._board = ProcessBoard(runtime.segment)
        self._lock = asyncio.Lock()
        self._may_ask = not old

    def pid(self, worker: int) -> int:
        """The worker's process; 0: none, and so no session and nobody to ask."""
        return self._board.status(worker).pid

    async def _become_writer(self) -> bool:
        """Wait until no former control asks any more; False if that takes too long."""
        until = asyncio.get_running_loop().time() + SESSIONS_SECONDS_MAX
        while not self._may_ask:
            try:
                take_role(self._segment.fd, ADMIN_WRITER)
                self._may_ask = True
            except SecondWriterError:
                if asyncio.get_running_loop().time() >= until:
                    return False
                await asyncio.sleep(SESSIONS_LOOK_SECONDS)
        return True

    async def pages(self, worker: int, wanted: Wanted) -> AsyncIterator[bytes]:
        """The records of all sessions of a worker that match; raises UnansweredError."""
        async with self._lock:
            page = await self._ask(worker, FIRST, wanted)
            while not page.last:
                yield page.records
                page = await self._ask(worker, NEXT, wanted)
            yield page.records

    async def end(self, worker: int, wanted: Wanted) -> int:
        """End the sessions of a worker that match: how many; raises UnansweredError."""
        async with self._lock:
            return (await self._ask(worker, END, wanted)).ended

    async def _ask(self, worker: int, kind: int, wanted: Wanted) -> DumpPage:
        """One question and its answer."""
        pid = self.pid(worker)
        if not await self._become_writer():
            raise UnansweredError(SILENT)
        number = self._dumps.ask(worker, kind, **wanted._asdict())
        ring((self._bells[worker],))
        until = asyncio.get_running_loop().time() + SESSIONS_SECONDS_MAX
        while True:
            gone = self.pid(worker) != pid  # looked at first: its last word may be the answer
            page = self._dumps.answer(worker, number)
            if page is not None:
                return page
            if gone:
                raise UnansweredError(GONE)
            if asyncio.get_running_loop().time() >= until:
                raise UnansweredError(SILENT)
            await asyncio.sleep(SESSIONS_LOOK_SECONDS)


class Listing:
    """What a command yields to wait for the sessions of one worker."""

    def __init__(self, relays: Relays, worker: int, wanted: Wanted) -> None:
        self._relays, self._worker, self._wanted = relays, worker, wanted
        self.pages: list[bytes] = []
        self.missed = ""  # why there may be more

    async def over(self) -> None:
        """Return when `pages` are there, or the worker is given up."""
        try:
            self.pages = [page async for page in self._relays.pages(self._worker, self._wanted)]
        except UnansweredError as error:
            self.missed = str(error)


class Ending:
    """What a command yields to wait until one worker has ended sessions."""

    def __init__(self, relays: Relays, worker: int, wanted: Wanted) -> None:
        self._relays, self._worker, self._wanted = relays, worker, wanted
        self.ended = 0
        self.missed = ""  # why it may be more

    async def over(self) -> None:
        """Return when `ended` is there, or the worker is given up."""
        try:
            self.ended = await self._relays.end(self._worker, self._wanted)
        except UnansweredError as error:
            self.missed = str(error)
