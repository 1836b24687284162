"""Waits until an order is in force: every relay has seen the table that it has changed.

They have as a rule by the time that the order is written and told; then nothing is waited for. The
answer to an order, and the next order of the same line, come after the relays' look, so that a
client that connects after the answer finds the order in force. A relay that has not looked in time
(it is stopped) is waited for once, until it has caught up; it misses no order by that, because the
records count how often a server went and came (relay/changes/).
"""

from __future__ import annotations

import asyncio

from proxy.control.limits import (
    IN_FORCE_LOOK_SECONDS,
    IN_FORCE_MOMENT_NS,
    IN_FORCE_SECONDS_MAX,
)
from shm.processes import ProcessBoard
from shm.segment import Segment
from shm.states import ProcessState


class InForce:
    """What a command waits for after it has published a state."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._board = ProcessBoard(segment)
        self._given_up: set[int] = set()

    def soon(self) -> bool:
        """Whether all relays have seen the table as it is now, given a moment for it."""
        wanted = self._segment.table_generation
        return self._board.relays_see(wanted, ProcessState.READY, IN_FORCE_MOMENT_NS)

    async def over(self) -> None:
        """Return when all relays that can have seen the table as it is now."""
        wanted = self._segment.table_generation
        until = asyncio.get_running_loop().time() + IN_FORCE_SECONDS_MAX
        self._given_up &= self._behind(wanted)
        while behind := self._behind(wanted) - self._given_up:
            if asyncio.get_running_loop().time() >= until:
                self._given_up |= behind
                return
            await asyncio.sleep(IN_FORCE_LOOK_SECONDS)

    def _behind(self, wanted: int) -> set[int]:
        return set(self._board.relays_behind(wanted, ProcessState.READY))
