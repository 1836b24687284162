"""Waits until all workers go by a change of servers.

A worker that has not come so far in time (it is stopped) is named in the answer; what it does not
know of it does not use, and no slot is used again before it has come so far.
"""

from __future__ import annotations

import asyncio

from proxy.control.limits import APPLIED_SECONDS_MAX, IN_FORCE_LOOK_SECONDS
from shm.processes import ProcessBoard
from shm.segment import Segment


class Applied:
    """What a command waits for after a change; `behind` has the workers that were not in time."""

    def __init__(
        self, segment: Segment, change: int, *, in_relays: bool = False, by_living: bool = False
    ) -> None:
        """With `in_relays` relays have also seen the table as it is when this is made.

        With `by_living` a worker that is dead does not go by it before its successor does; without
        it does, because the successor will begin with it.
        """
        self._segment = segment
        self._change = change
        self._generation = segment.table_generation if in_relays else 0
        self._by_living = by_living
        self._board = ProcessBoard(segment)
        self.behind: list[int] = []

    async def over(self) -> None:
        """Return when all workers go by the change, or some were given up."""
        loop = asyncio.get_running_loop()
        until = loop.time() + APPLIED_SECONDS_MAX
        while (behind := self.now()) and loop.time() < until:
            await asyncio.sleep(IN_FORCE_LOOK_SECONDS)
        self.behind = behind

    def now(self) -> list[int]:
        """The workers that do not go by it yet."""
        return [
            worker for worker in range(self._segment.shape.workers) if not self._goes_by_it(worker)
        ]

    def _goes_by_it(self, worker: int) -> bool:
        status = self._board.status(worker)
        if status.pid == 0:
            return not self._by_living
        return status.applied >= self._change and status.generation_seen >= self._generation


def told(behind: list[int]) -> str:
    """A line about the workers that are behind; empty without any."""
    if not behind:
        return ""
    return f"Not yet in force in worker {', '.join(map(str, behind))}, which does not answer.\n"
