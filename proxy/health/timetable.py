"""The timetable: when each server of one worker's share is checked next. Pure; takes `now`.

Owns the order of due times. Must not know what a check is, nor read a clock. A heap holds
(due, slot); `dues` holds the truth, so an entry that no longer agrees with it is skipped when it
comes up, and the heap is rebuilt before skipped entries outnumber the real ones.

A server keeps its phase while it is paused: on the way back its next check is where it would have
been, so a thousand servers that return together are not checked together.
"""

from __future__ import annotations

import heapq
from random import Random

STALE_ENTRIES_MAX = 64  # beyond the number of servers: then the heap is rebuilt


def first_due_ms(start_ms: int, span_ms: int, position: int, count: int) -> int:
    """When the server at `position` of `count` (over all workers) is first checked.

    First checks are spread evenly over `span_ms`, so that a start is no burst.
    """
    return start_ms + span_ms * position // max(1, count)


def spread_ms(interval_ms: int, percent: int, random: Random) -> int:
    """The interval moved at random by up to `percent` either way (manual: spread-checks)."""
    if percent == 0:
        return interval_ms
    reach = interval_ms * percent // 100
    return max(1, interval_ms + random.randint(-reach, reach))


class Timetable:
    """Due times by slot; a paused slot has a phase but no due time."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int]] = []
        self._dues: dict[int, int] = {}
        self._phases: dict[int, int] = {}

    def __repr__(self) -> str:
        """Counts, for test messages."""
        return f"<Timetable {len(self._dues)} due, {len(self._phases) - len(self._dues)} paused>"

    def place(self, slot: int, due_ms: int) -> None:
        """Make a slot due at `due_ms`, whatever was planned for it."""
        self._dues[slot] = self._phases[slot] = due_ms
        heapq.heappush(self._heap, (due_ms, slot))
        if len(self._heap) > 2 * len(self._dues) + STALE_ENTRIES_MAX:
            self._heap = [(due, slot) for slot, due in self._dues.items()]
            heapq.heapify(self._heap)

    def plans(self, slot: int) -> bool:
        """Whether the slot has a due time; not while it is paused, taken or under way."""
        return slot in self._dues

    def pause(self, slot: int) -> None:
        """Take a slot out; its phase is kept."""
        self._dues.pop(slot, None)

    def forget(self, slot: int) -> None:
        """Take a slot out for good."""
        self._dues.pop(slot, None)
        self._phases.pop(slot, None)

    def resume(self, slot: int, now_ms: int, interval_ms: int) -> int:
        """Bring a slot back in its own phase, due from `now_ms` on; returns when."""
        phase_ms = self._phases.get(slot, now_ms)
        due_ms = phase_ms
        if phase_ms < now_ms:
            due_ms = now_ms + (phase_ms - now_ms) % interval_ms
        self.place(slot, min(due_ms, now_ms + interval_ms))
        return self._dues[slot]

    def hasten(self, slot: int, due_ms: int) -> None:
        """Let a slot that has a due time be due by `due_ms`, if that is earlier."""
        if self._dues.get(slot, due_ms) > due_ms:
            self.place(slot, due_ms)

    def take(self, now_ms: int) -> int | None:
        """Remove and return the slot that has been due longest, None when none is due."""
        next_ms = self.next_ms()
        if next_ms is None or next_ms > now_ms:
            return None
        _, slot = heapq.heappop(self._heap)
        del self._dues[slot]
        return slot

    def next_ms(self) -> int | None:
        """When the next slot is due; None when all are paused or under way."""
        while self._heap:
            due_ms, slot = self._heap[0]
            if self._dues.get(slot) == due_ms:
                return due_ms
            heapq.heappop(self._heap)
        return None
