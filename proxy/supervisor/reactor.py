"""Readable descriptors and who is called about them: the whole event loop of the supervisor."""

from __future__ import annotations

import selectors
from collections.abc import Callable

Callback = Callable[[int], None]  # gets now_ms


class Reactor:
    """A selector with a callback for each descriptor."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        """An empty one; `clock_ms` is read once after each wait."""
        self._selector = selectors.EpollSelector()
        self._clock_ms = clock_ms
        self._urgent: set[int] = set()

    def watch(self, descriptor: int, callback: Callback, *, urgent: bool = False) -> None:
        """Call back whenever the descriptor is readable, an urgent one before all others."""
        self._selector.register(descriptor, selectors.EVENT_READ, callback)
        if urgent:
            self._urgent.add(descriptor)

    def forget(self, descriptor: int) -> None:
        """Do not look at it any more; before it is closed."""
        self._selector.unregister(descriptor)
        self._urgent.discard(descriptor)

    def wait(self, timeout_ms: int) -> int:
        """Wait at most that long, call back, and say what time it is."""
        events = self._selector.select(timeout_ms / 1_000)
        events.sort(key=lambda event: event[0].fd not in self._urgent)
        now_ms = self._clock_ms()
        for key, _ in events:
            # An earlier callback of this batch may have ended this one's interest.
            if key.fd in self._selector.get_map():
                callback: Callback = key.data
                callback(now_ms)
        return now_ms

    def close(self) -> None:
        """Close the selector; the descriptors belong to others."""
        self._selector.close()
