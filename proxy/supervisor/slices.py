"""Work in portions, so that signals and ends of children need not wait for the whole of it.

What takes long in proportion to the configuration is a generator of steps, each of which costs a
few milliseconds at most. A helper runs them at once, the supervisor's loop some of them in each
turn. One step cannot be cut: a fork with the settings of 60,000 servers in memory takes 2 to 4 ms
on an idle core, several times that where cores are busy, so there is a look between any two forks.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Generic, TypeVar

from proxy.runtime import now_ms
from proxy.supervisor.limits import SLICE_MS

PORTION = 256  # servers in a step: each costs some microseconds
T = TypeVar("T")
Steps = Generator[None, None, T]


def at_once(steps: Steps[T]) -> T:
    """Do all steps; what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


class Sliced(Generic[T]):
    """Steps that are done in slices of SLICE_MS; then `result` is what they returned."""

    def __init__(self, steps: Steps[T]) -> None:
        """Nothing is done yet."""
        self.result: T
        self._steps = steps

    def advance(self) -> bool:
        """Do one slice; True when all is done. Raises whatever a step does."""
        until_ms = now_ms() + SLICE_MS
        try:
            while now_ms() < until_ms:
                next(self._steps)
        except StopIteration as end:
            self.result = end.value
            return True
        return False

    def close(self) -> None:
        """Nothing more is to be done: half a work is undone by its own steps."""
        self._steps.close()
