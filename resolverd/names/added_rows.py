"""Where the records of names are that only added servers have.

Each such server brings a row in the segment, and the first of those that have a name lends it its
own: when that server goes, the record moves. The rows of the others are empty, so that a reader
finds one record a name. A process that is new begins the records anew, the times of valid answers
aside. Knows no server but by its slot.
"""

from __future__ import annotations

from resolverd.config import NO_ROW
from resolverd.names.host import ResolvedName
from resolverd.names.service import ResolvedService

Resolved = ResolvedName | ResolvedService


class AddedRows:
    """The rows of the servers of each name, by its key and their slots."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[int, int]] = {}

    def join(self, key: int, name: Resolved, slot: int, row: int) -> None:
        """An added server has the name of its line; nothing without a row (NO_ROW)."""
        if row == NO_ROW:
            return
        rows = self._rows.setdefault(key, {})
        rows[slot] = row
        if len(rows) > 1 or name.permanent:
            name.counts.empty(row)
        else:
            name.counts.begin(row, name.resolution)

    def leave(self, key: int, name: Resolved, slot: int) -> None:
        """A server has another name now, or was deleted."""
        rows = self._rows.get(key, {})
        if slot not in rows:
            return
        had_record = not name.permanent and next(iter(rows)) == slot
        row = rows.pop(slot)
        if had_record and rows:
            name.counts.move(next(iter(rows.values())))
        elif had_record:
            name.counts.abandon()
        name.counts.empty(row)
        if not rows:
            del self._rows[key]

    def abandoned(self, key: int, name: ResolvedName) -> None:
        """No line of the files has the name any more, whose record was the files'."""
        for row in list(self._rows.get(key, {}).values())[:1]:
            name.counts.begin(row, name.resolution)
