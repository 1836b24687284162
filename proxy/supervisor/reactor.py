"""Readable descriptors and what is called for each: the whole event loop of the supervisor."""

from __future__ import annotations

import selectors
from collections.abc import Callable

from proxy.supervisor.faults import Faults
from proxy.supervisor.limits import FAULT_PAUSE_MS

Callback = Callable[[int], None]  # gets now_ms


class Reactor:
    """A selector with a callback for each descriptor.

    A callback that raises is told of and rests for a moment: its descriptor is readable still.
    """

    def __init__(self, clock_ms: Callable[[], int], faults: Faults) -> None:
        """An empty one; `clock_ms` is read once after each wait."""
        self._selector = selectors.EpollSelector()
        self._clock_ms = clock_ms
        self._faults = faults
        self._urgent: set[int] = set()
        self._resting: dict[int, tuple[int, Callback]] = {}  # until when

    def watch(self, descriptor: int, callback: Callback, *, urgent: bool = False) -> None:
        """Call back whenever the descriptor is readable, an urgent one before all others."""
        self._selector.register(descriptor, selectors.EVENT_READ, callback)
        if urgent:
            self._urgent.add(descriptor)

    def forget(self, descriptor: int) -> None:
        """Do not look at it any more, if ever; before its number can mean something else."""
        self._urgent.discard(descriptor)
        self._resting.pop(descriptor, None)
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def wait(self, timeout_ms: int) -> int:
        """Wait at most that long, call back, and say what time it is."""
        if self._resting:
            timeout_ms = min(timeout_ms, FAULT_PAUSE_MS)
        events = self._selector.select(timeout_ms / 1_000)
        events.sort(key=lambda event: event[0].fd not in self._urgent)
        now_ms = self._clock_ms()
        for key, _ in events:
            callback: Callback = key.data
            if self._calls(key.fd, callback):
                try:
                    callback(now_ms)
                except Exception as error:
                    self._faults.tell("looking at an event", error)
                    self._rest(key.fd, now_ms + FAULT_PAUSE_MS, callback)
        self._wake(now_ms)
        return now_ms

    def _calls(self, descriptor: int, callback: Callback) -> bool:
        """Whether this one is still called: the number may be another's descriptor by now."""
        key = self._selector.get_map().get(descriptor)
        return key is not None and key.data is callback

    def _rest(self, descriptor: int, until_ms: int, callback: Callback) -> None:
        """Look at it again later, unless the callback ended the interest before it raised."""
        if self._calls(descriptor, callback):
            self._selector.unregister(descriptor)
            self._resting[descriptor] = until_ms, callback

    def _wake(self, now_ms: int) -> None:
        for descriptor, (until_ms, callback) in tuple(self._resting.items()):
            if now_ms >= until_ms:
                del self._resting[descriptor]
                self._selector.register(descriptor, selectors.EVENT_READ, callback)

    def renew(self) -> None:
        """In a fork: look at the same descriptors by a selector of its own."""
        former, self._selector = self._selector, selectors.EpollSelector()
        for key in former.get_map().values():
            self._selector.register(key.fd, key.events, key.data)
        former.close()

    def close(self) -> None:
        """Close the selector; the descriptors belong to others."""
        self._selector.close()
