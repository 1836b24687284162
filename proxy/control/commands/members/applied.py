"""Waits until all processes go by a change of servers: workers, and resolverd where it has a name.

One that has not come so far in time (it is stopped) is named in the answer; what it does not know
of it does not use, and no slot is used again before it has come so far.
"""

from __future__ import annotations

import asyncio

from proxy.control.limits import APPLIED_SECONDS_MAX, IN_FORCE_LOOK_SECONDS
from shm.processes import ProcessBoard, ProcessStatus
from shm.segment import Segment


class Applied:
    """What a command waits for after a change; `behind` has the processes that were not in time."""

    def __init__(
        self,
        segment: Segment,
        change: int,
        *,
        resolved: bool,
        in_relays: bool = False,
        by_living: bool = False,
    ) -> None:
        """With `resolved` it is about a server with `resolvers`.

        With `in_relays` relays have also seen the table as it is when this is made. With
        `by_living` a process that is dead does not go by it before its successor does; without it
        does, because the successor will begin with it.
        """
        self._segment = segment
        self._resolved = resolved
        self._change = change
        self.generation = segment.table_generation if in_relays else 0  # that relays have seen
        self._by_living = by_living
        self._board = ProcessBoard(segment)
        self.behind: list[int] = []

    async def over(self) -> None:
        """Return when all go by the change, or some were given up."""
        loop = asyncio.get_running_loop()
        until = loop.time() + APPLIED_SECONDS_MAX
        while (behind := self.now()) and loop.time() < until:
            await asyncio.sleep(IN_FORCE_LOOK_SECONDS)
        self.behind = behind

    def now(self) -> list[int]:
        """The processes that do not go by it yet, by their numbers on the board."""
        shape = self._segment.shape
        behind = [
            worker
            for worker in range(shape.workers)
            if not self._goes_by_it(self._board.status(worker), self.generation)
        ]
        if self._resolved:
            status = self._board.status(shape.resolverd_process)
            behind += [] if self._goes_by_it(status, 0) else [shape.resolverd_process]
        return behind

    def _goes_by_it(self, status: ProcessStatus, generation: int) -> bool:
        if status.pid == 0:
            return not self._by_living
        return status.applied >= self._change and status.generation_seen >= generation

    def told(self) -> str:
        """A line about the processes that are behind; empty without any."""
        shape = self._segment.shape
        workers = [str(each) for each in self.behind if each < shape.workers]
        late = [f"worker {', '.join(workers)}"] if workers else []
        late += ["resolverd"] if shape.resolverd_process in self.behind else []
        return f"Not yet in force in {' and '.join(late)}, which does not answer.\n" if late else ""
