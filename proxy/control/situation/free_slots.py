"""Which names give addresses to servers: what is left without one there is a free slot.

A name of the configuration has a row, which says how many servers have its records; of one that is
only asked for added servers, the servers themselves say it. Must not know what is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from proxy.config.model.settings import Server
from proxy.control.rows.report import Report
from resolverd.config import Family, ResolutionSettings

NAMES_AT_ONCE = 200  # names without servers, looked at again in one look: 1 ms
Key = int | tuple[str, str, Family, bool, bool]  # its row; that of a name which has none


class FreeSlots:
    """Kept up to date by one look at each server that changes, and `steps` once a second."""

    def __init__(self, report: Report) -> None:
        self._report = report
        resolutions = report.settings.resolverd.resolutions
        self._rows = {_key(each): row for row, each in enumerate(resolutions)}
        self._without: dict[Key, set[int]] = {}  # slots without an address by their name
        self._served: dict[Key, bool] = {}  # names that have given some server an address
        self._added: dict[int, tuple[Key, bool]] = {}  # of added ones: whether it has an address
        self._holders: Counter[Key] = Counter()  # of these the added servers that have one

    def look(self, server: Server, *, lacks: bool) -> bool:
        """Note a server that has no address, or has one; whether that has changed what is free."""
        name, slot = self._name(server), server.slot
        if server.added:
            self.drop_added(slot)
        if name is None:
            return False
        if server.added:
            self._added[slot] = name, not lacks
            self._holders[name] += not lacks
        if lacks:
            self._without.setdefault(name, set()).add(slot)
        elif name in self._without:
            self._without[name].discard(slot)
            if not self._served.get(name, False):
                self._served[name] = True
                return True
        return False

    def drop(self, slot: int) -> None:
        """The server of this slot was deleted."""
        self.drop_added(slot)
        for slots in self._without.values():
            slots.discard(slot)

    def drop_added(self, slot: int) -> None:
        """Forget an added server, in whose slot another may be by now."""
        name, holds = self._added.pop(slot, (None, False))
        if name is None:
            return
        self._holders[name] -= holds
        if not self._holders[name]:
            del self._holders[name]
        if name in self._without:
            self._without[name].discard(slot)

    def steps(self) -> Iterator[bool]:
        """Look at the names that servers are waiting for; whether one has changed what is free."""
        for name in list(self._without)[:NAMES_AT_ONCE]:
            slots = self._without.pop(name)
            changed = False
            if slots:
                self._without[name] = slots  # behind those that come next
                used = self._is_used(name)
                changed = self._served.get(name, False) != used
                self._served[name] = used
            elif not isinstance(name, int):
                self._served.pop(name, None)
            yield changed

    def is_free(self, server: Server) -> bool:
        """Whether the server's name has given addresses to others."""
        name = self._name(server)
        return name is not None and self._served.get(name, False)

    def _is_used(self, name: Key) -> bool:
        if self._holders[name]:
            return True
        counters = self._report.monitor.counters
        return isinstance(name, int) and counters.resolution(name)["slots_used"] > 0

    def _name(self, server: Server) -> Key | None:
        own = server.resolution
        if own is None or not own.name:
            return server.resolution_index
        key = _key(own)
        return self._rows.get(key, key)


def _key(settings: ResolutionSettings) -> Key:
    families = settings.search, settings.all_families
    return settings.section, settings.name, settings.preferred, *families
