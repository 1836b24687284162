"""Questions about sessions to the relays of the workers, each with a deadline.

Owns how long a worker is waited for. One that is dead, stopped or does not look in time has no
answer, and the others answer all the same. Knows no command.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from proxy.control.limits import SESSIONS_LOOK_SECONDS, SESSIONS_SECONDS_MAX
from proxy.runtime import Runtime, ring
from shm.dumps import ANY, END, FIRST, NEXT, DumpPage, SessionDumps
from shm.processes import ProcessBoard

EVERY_MS = (1 << 63) - 1  # before which all sessions began


class Wanted(NamedTuple):
    """The sessions that a question is about: all words hold."""

    before_ms: int = EVERY_MS  # they began before that time
    frontend: int = ANY
    backend: int = ANY
    slot: int = ANY
    place: int = 0  # of one session, with its start
    started_ms: int = 0


class Relays:
    """The relays of this generation; one question at a time: the next one replaces it."""

    def __init__(self, runtime: Runtime) -> None:
        self.workers = runtime.workers
        self._bells = runtime.bells.relays
        self._dumps = SessionDumps(runtime.segment)
        self._board = ProcessBoard(runtime.segment)
        self._lock = asyncio.Lock()

    def lives(self, worker: int) -> bool:
        """Whether the worker lives: one that does not has no sessions, and nobody to ask."""
        return self._board.status(worker).pid != 0

    async def pages(self, worker: int, wanted: Wanted) -> list[bytes] | None:
        """The records of all sessions of a worker that match; None if it does not answer."""
        found: list[bytes] = []
        async with self._lock:
            page = await self._ask(worker, FIRST, wanted)
            while page is not None:
                found.append(page.records)
                if page.last:
                    return found
                page = await self._ask(worker, NEXT, wanted)
        return None

    async def end(self, worker: int, wanted: Wanted) -> int | None:
        """End the sessions of a worker that match: how many; None if it does not answer."""
        async with self._lock:
            page = await self._ask(worker, END, wanted)
        return None if page is None else page.ended

    async def _ask(self, worker: int, kind: int, wanted: Wanted) -> DumpPage | None:
        """One question and its answer."""
        number = self._dumps.ask(worker, kind, **wanted._asdict())
        ring((self._bells[worker],))
        until = asyncio.get_running_loop().time() + SESSIONS_SECONDS_MAX
        while (page := self._dumps.answer(worker, number)) is None:
            if asyncio.get_running_loop().time() >= until:
                return None
            await asyncio.sleep(SESSIONS_LOOK_SECONDS)
        return page


class Listing:
    """What a command yields to wait for the sessions of one worker."""

    def __init__(self, relays: Relays, worker: int, wanted: Wanted) -> None:
        self._relays, self._worker, self._wanted = relays, worker, wanted
        self.pages: list[bytes] | None = None

    async def over(self) -> None:
        """Return when `pages` are there, or the worker is given up."""
        self.pages = await self._relays.pages(self._worker, self._wanted)


class Ending:
    """What a command yields to wait until one worker has ended sessions."""

    def __init__(self, relays: Relays, worker: int, wanted: Wanted) -> None:
        self._relays, self._worker, self._wanted = relays, worker, wanted
        self.ended: int | None = None

    async def over(self) -> None:
        """Return when `ended` is there, or the worker is given up."""
        self.ended = await self._relays.end(self._worker, self._wanted)
