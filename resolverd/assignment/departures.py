"""Records that leave and come back, because an answer need not hold all records. Pure.

Owns the departures of one name: which records left within REMEMBERED_MS, and when each was last
seen. Knows no type of record and no server. The remedy is `hold obsolete` (M4): a record that is
kept for longer than it is unseen never leaves.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, NamedTuple, TypeVar

REMEMBERED_MS = 60_000  # a longer absence is a change of the zone, not an incomplete answer
REMEMBERED_MIN = 64  # departures, for a nameserver whose answers hold few of many records

Key = TypeVar("Key", bound=Hashable)


class Departure(NamedTuple):
    """When a record left and when it was last seen before that, milliseconds."""

    left_ms: int
    seen_ms: int


class Departures(Generic[Key]):
    """The departures of one name: at most as many as it has records, or REMEMBERED_MIN."""

    __slots__ = ("_departures",)

    def __init__(self) -> None:
        self._departures: dict[Key, Departure] | None = None  # the first to leave is first

    def __len__(self) -> int:
        """The number of departures."""
        return len(self._departures or ())

    def compare(
        self, before: Mapping[Key, int], after: Mapping[Key, object], now_ms: int
    ) -> list[tuple[Key, int]]:
        """The records that an answer brought back, each with its time unseen in milliseconds.

        `before` and `after` are the records known before and after the answer; `before` has the
        time at which each was last seen.
        """
        departures = {} if self._departures is None else self._departures
        _forget(departures, now_ms - REMEMBERED_MS)
        if before.keys() == after.keys():
            return []
        back = []
        for key in after:
            if key not in before and (departure := departures.pop(key, None)) is not None:
                back.append((key, now_ms - departure.seen_ms))
        for key, seen_ms in before.items():
            if key not in after:
                departures.pop(key, None)  # known again without an answer, after a failure
                departures[key] = Departure(now_ms, seen_ms)
        excess = len(departures) - max(REMEMBERED_MIN, len(after))
        for _ in range(excess):
            del departures[next(iter(departures))]
        self._departures = departures or None
        return back


def _forget(departures: dict[Key, Departure], before_ms: int) -> None:
    """Drop the departures before this time."""
    while departures:
        first = next(iter(departures))
        if departures[first].left_ms >= before_ms:
            return
        del departures[first]
