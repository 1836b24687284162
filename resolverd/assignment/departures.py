"""Records that leave and come back: answers that do not always hold all records. Pure.

Owns which records of one name have left lately and when each was last seen before. Knows neither
what a record is nor what becomes of its servers. `hold obsolete` is what helps against it (M4): a
record that stays for longer than it is unseen never leaves.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, NamedTuple, TypeVar

REMEMBERED_MS = 60_000  # longer away is another record, not a part of the answers that was left out
REMEMBERED_MIN = 64  # departures, for a nameserver that names few of many records at a time

Key = TypeVar("Key", bound=Hashable)


class Departure(NamedTuple):
    """When a record left and when it was last seen before that, milliseconds."""

    left_ms: int
    seen_ms: int


class Departures(Generic[Key]):
    """The departures of one name: at most as many as it has records, or REMEMBERED_MIN."""

    def __init__(self) -> None:
        """Nothing has left."""
        self._departures: dict[Key, Departure] = {}  # the first to leave is first

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._departures)

    def compare(
        self, before: Mapping[Key, int], after: Mapping[Key, object], now_ms: int
    ) -> list[tuple[Key, int]]:
        """The records that are back by an answer, each with how long it was unseen, milliseconds.

        `before` and `after` are the records known before and after it; `before` says when each was
        last seen.
        """
        self._forget(now_ms - REMEMBERED_MS)
        if before.keys() == after.keys():
            return []
        back = []
        for key in after:
            if key not in before and (departure := self._departures.pop(key, None)) is not None:
                back.append((key, now_ms - departure.seen_ms))
        for key, seen_ms in before.items():
            if key not in after:
                self._departures.pop(key, None)  # after a failure it was back without being seen
                self._departures[key] = Departure(now_ms, seen_ms)
        excess = len(self._departures) - max(REMEMBERED_MIN, len(after))
        for _ in range(excess):
            del self._departures[next(iter(self._departures))]
        return back

    def _forget(self, before_ms: int) -> None:
        """Those that left before then are gone for good."""
        while self._departures:
            first = next(iter(self._departures))
            if self._departures[first].left_ms >= before_ms:
                return
            del self._departures[first]
