"""What old workers count until their end, added to the carried row of the newest generation.

The supervisor alone counts it, and each difference once: a tally holds what was added so far
(shm/tally.pyx). A generation has its turn once in a period, so totals are behind by so many periods
as there are old generations. A large table has a longer one: a period for each slice, so that all
of it costs a hundredth of a core. The last turn comes when its workers have ended (`adding`).
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.supervisor.carry import add_late
from proxy.supervisor.former import Former
from proxy.supervisor.generation import Generation, Phase
from proxy.supervisor.limits import LATE_COUNTS_MS
from proxy.supervisor.slices import Sliced, Steps


def adding(old: Generation | Former, newest: Generation) -> Steps[None]:
    """Add what an old generation has counted since the last time; nothing if nothing was carried.

    Both are named now: a reload that is done meanwhile changes nothing of it.
    """
    carried, last, runtime = old.carried, newest.came_by, old.runtime
    if runtime is None or newest.phase is Phase.ENDED:
        return
    if carried is not None and last is not None:
        yield from add_late(carried, runtime.segment, last, newest.runtime.segment)


class LateCounts:
    """Whose turn it is; every method is called from the supervisor's loop."""

    def __init__(self) -> None:
        self._adding: tuple[Generation | Former, Sliced[None]] | None = None
        self._turns = 0
        self._due_ms = 0

    @property
    def busy(self) -> bool:
        """Whether a turn has begun and is not over."""
        return self._adding is not None

    def start_anew(self) -> None:
        """Another generation is the newest: a turn under way led to the one before.

        What was counted while the reload copied is added at once.
        """
        self._adding = None
        self._due_ms = 0

    def leave(self, generation: Generation | Former) -> None:
        """Its segment must not be looked at any more."""
        if self._adding is not None and self._adding[0] is generation:
            self._adding = None

    def turn(self, old: Sequence[Generation | Former], newest: Generation, now_ms: int) -> None:
        """One slice of what is due; what it raises ends this turn, and the next begins anew."""
        if self._adding is None and now_ms >= self._due_ms:
            living = [each for each in old if each.phase is not Phase.ENDED and each.carried]
            self._due_ms = now_ms + LATE_COUNTS_MS
            if living:
                self._turns += 1
                chosen = living[self._turns % len(living)]
                self._adding = chosen, Sliced(adding(chosen, newest))
        if self._adding is not None:
            (generation, steps), self._adding = self._adding, None  # none, if this raises
            if not steps.advance():
                self._adding = generation, steps
                self._due_ms += LATE_COUNTS_MS
