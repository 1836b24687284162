"""The deadlines of all resolutions: a heap, one deadline for each key. Pure.

Owns their order in time. Knows no resolution. A replaced deadline stays in the heap and is skipped
when it comes first, so a change costs O(log n); a heap with mostly replaced ones is rebuilt.
"""

from __future__ import annotations

import heapq

SWEEP_MIN = 64  # entries: a smaller heap is not worth rebuilding


class Schedule:
    """Deadlines in milliseconds by key (the index of a resolution)."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int]] = []
        self._deadlines: dict[int, int] = {}

    def set(self, key: int, deadline_ms: int) -> None:
        """Set the deadline of a key in place of its former one."""
        if self._deadlines.get(key) == deadline_ms:
            return
        self._deadlines[key] = deadline_ms
        heapq.heappush(self._heap, (deadline_ms, key))
        if len(self._heap) > SWEEP_MIN + 2 * len(self._deadlines):
            self._heap = [(due_ms, each) for each, due_ms in self._deadlines.items()]
            heapq.heapify(self._heap)

    def drop(self, key: int) -> None:
        """Remove the deadline of a key."""
        self._deadlines.pop(key, None)

    def next_deadline_ms(self) -> int | None:
        """The earliest deadline, None without any."""
        while self._heap and self._deadlines.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now_ms: int, at_most: int) -> list[int]:
        """Remove and return the keys that are due, earliest first."""
        due: list[int] = []
        while len(due) < at_most:
            deadline_ms = self.next_deadline_ms()
            if deadline_ms is None or deadline_ms > now_ms:
                break
            _, key = heapq.heappop(self._heap)
            del self._deadlines[key]
            due.append(key)
        return due
