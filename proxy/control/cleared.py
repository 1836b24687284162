"""Counters as they are shown: less what they were when the operator cleared them.

Each counter has one writer, and it is not control; so clearing changes none of them. Control keeps
what they were then, and shows the difference. That lasts as long as control does: one that has to
be started again, or a reload, shows everything since the start.

The highest value of a gauge since then is the row's own maximum where it has been passed, else the
highest value that control saw itself, at each look (once a second) and each answer.
"""

from __future__ import annotations

from shm.counters import CounterReader
from shm.states import HealthState

Key = tuple[str, int]  # kind, and index of that kind
Fields = dict[str, int]

KEPT = ("sessions", "queued")  # gauges; what begins with KEPT + "_max" is their maximum


def is_highest(name: str) -> bool:
    """A maximum: of a gauge, or of times."""
    return name.endswith("_max") or "_max_" in name


class Cleared:
    """What was cleared of frontends, backends and servers, and what they show since."""

    def __init__(self, counters: CounterReader) -> None:
        self._counters = counters
        self._totals: dict[Key, Fields] = {}  # as they were at the last `clear counters all`
        self._highest: dict[Key, Fields] = {}  # as they were at the last clearing of any kind
        self._seen: dict[Key, Fields] = {}  # the highest gauges that control saw since
        self._health: dict[int, tuple[int, int]] = {}  # failures and downs, by slot

    def frontend(self, index: int) -> Fields:
        """Counters of a frontend since they were cleared."""
        return self._shown(("frontend", index), self._counters.frontend(index))

    def backend(self, index: int) -> Fields:
        """The same for a backend."""
        return self._shown(("backend", index), self._counters.backend(index))

    def server(self, slot: int) -> Fields:
        """The same for a server."""
        return self._shown(("server", slot), self._counters.server(slot))

    def health(self, slot: int, state: HealthState) -> HealthState:
        """A health record with the failures and downs since they were cleared."""
        failures, downs = self._health.get(slot, (0, 0))
        return state._replace(
            failures=max(0, state.failures - failures), downs=max(0, state.downs - downs)
        )

    def clear(self, counts: dict[str, int], *, totals: bool) -> None:
        """Show maxima, and with `totals` all that is counted, from now on.

        `counts` says how many there are of each kind: frontend, backend, server.
        """
        readers = {
            "frontend": self._counters.frontend,
            "backend": self._counters.backend,
            "server": self._counters.server,
        }
        for kind, count in counts.items():
            for index in range(count):
                raw = readers[kind](index)
                self._highest[kind, index] = raw
                self._seen[kind, index] = {}
                if totals:
                    self._totals[kind, index] = raw

    def clear_health(self, slot: int, state: HealthState) -> None:
        """Show what checks find from now on."""
        self._health[slot] = (state.failures, state.downs)

    def _shown(self, key: Key, raw: Fields) -> Fields:
        highest = self._highest.get(key)
        if highest is None:
            return raw
        totals = self._totals.get(key)
        shown = dict(raw)
        for name, value in raw.items():
            if is_highest(name):
                shown[name] = self._highest_of(key, raw, name, highest)
            elif name in KEPT or totals is None:
                continue
            elif name.startswith("last_"):
                shown[name] = 0 if value == totals[name] else value
            else:
                shown[name] = max(0, value - totals[name])
        return shown

    def _highest_of(self, key: Key, raw: Fields, name: str, highest: Fields) -> int:
        """A maximum since the clearing."""
        if raw[name] > highest[name]:
            return raw[name]
        gauge = name.removesuffix("_max")
        if gauge not in KEPT:
            return 0
        seen = self._seen[key]
        seen[name] = max(seen.get(name, 0), raw[gauge])
        return seen[name]
