"""Generations before this one whose workers still finish their sessions.

Control has inherited their segments and the bells of their relays, and gives back what belongs to
those that have ended: no descriptor and no mapping is left of them. What they count is no matter
here: the supervisor adds it to this generation's totals.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from proxy.runtime import Runtime
from shm.counters import CounterReader
from shm.processes import ProcessBoard


class OldGeneration:
    """One of them; nothing of it may be used beyond `held` once it has ended."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.segment = runtime.segment
        self.number = runtime.segment.reload_generation
        self.board = ProcessBoard(runtime.segment)
        self._counters = CounterReader(runtime.segment)
        self._readers = 0

    @property
    def stopping(self) -> bool:
        """Whether its workers were told to finish: a reload may be called off before."""
        return self.segment.stopping_ms != 0

    def worker_pids(self) -> list[int]:
        """Its workers that run."""
        statuses = (self.board.status(worker) for worker in range(self.runtime.workers))
        return [status.pid for status in statuses if status.pid]

    def processes(self) -> int:
        """How many of all its processes run."""
        count = len(self.segment.shape.process_names)
        return sum(self.board.status(position).pid != 0 for position in range(count))

    def sessions(self) -> int:
        """How many clients it serves."""
        return self._counters.sessions()

    def age_ms(self, now_ms: int) -> int:
        """How long it has been an old one."""
        return max(0, now_ms - self.segment.stopping_ms)

    def hard_stop_ms(self, now_ms: int) -> int | None:
        """After what time its sessions will be ended; None: never."""
        at_ms = self.segment.hard_stop_ms
        return max(0, at_ms - now_ms) if at_ms else None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Its records stay readable until this is over, though it may end."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1

    def give_back(self) -> bool:
        """Give back what was inherited if it has ended and is not held; whether it was."""
        if self._readers or not self.stopping or self.worker_pids():
            return False
        self.segment.forget()
        for bell in self.runtime.bells.relays:
            os.close(bell)
        return True


class OldGenerations:
    """All of them, the latest first."""

    def __init__(self, runtimes: tuple[Runtime, ...]) -> None:
        """Those that lived at the fork, the oldest first."""
        self._all = [OldGeneration(runtime) for runtime in reversed(runtimes)]

    def inherited(self) -> list[Runtime]:
        """All that are still mapped, the latest first."""
        return [each.runtime for each in self._all]

    def look(self) -> None:
        """Forget those that have ended."""
        if self._all:
            self._all = [each for each in self._all if not each.give_back()]

    def living(self) -> list[OldGeneration]:
        """Those that finish their sessions now."""
        self.look()
        return [each for each in self._all if each.stopping and each.worker_pids()]
