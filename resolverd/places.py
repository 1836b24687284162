"""How many runs of one `resolvers` section go on at once, and who is next. Pure.

Each run has one question at a time at each nameserver, so the limit bounds the questions in flight
there. Who finds no place waits; the urgent go first, otherwise it is first come, first served.
"""

from __future__ import annotations

from collections import deque

RUNS_MAX = 256  # questions in flight at one nameserver: what a small one is sure to take


class Places:
    """Places for runs, by key."""

    def __init__(self, limit: int) -> None:
        """All places are free."""
        self._limit = limit
        self._taken: set[int] = set()
        self._waiting: dict[int, bool] = {}  # key -> urgent
        self._queues: tuple[deque[int], deque[int]] = (deque(), deque())  # the urgent first

    def __len__(self) -> int:
        """How many places are taken."""
        return len(self._taken)

    def waits(self, key: int) -> bool:
        """Whether the key waits for a place."""
        return key in self._waiting

    def enter(self, key: int, *, urgent: bool) -> bool:
        """Take a place, True if the key has one now; else it waits for `leave` to name it."""
        if key in self._taken:
            return True
        if len(self._taken) < self._limit:
            self._waiting.pop(key, None)
            self._taken.add(key)
            return True
        waits = self._waiting.get(key)
        if waits is None or (urgent and not waits):
            self._waiting[key] = urgent
            self._queues[0 if urgent else 1].append(key)
        return False

    def leave(self, key: int) -> int | None:
        """Give a place back or stop waiting; the key that has got the place, if any."""
        self._waiting.pop(key, None)
        if key not in self._taken:
            return None
        self._taken.discard(key)
        for urgent, queue in zip((True, False), self._queues, strict=True):
            while queue:
                following = queue.popleft()  # it may have left, or come again as urgent, since
                if self._waiting.get(following) is urgent:
                    del self._waiting[following]
                    self._taken.add(following)
                    return following
        return None
