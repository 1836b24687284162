"""When the state of a server last changed, by its own records or with the server that it tracks.

No process writes it down for servers that track: it is the later of the changes along the chain.
"""

from __future__ import annotations

from shm.slots import SlotTableReader
from shm.standing import MAINT_MASK, RMAINT
from shm.states import StaticFlag
from shm.steady import steady

CHECKED = int(StaticFlag.CHECKED)


def last_change_ms(table: SlotTableReader, slot: int) -> int:
    """The time of a slot's last change (CLOCK_MONOTONIC, ms); 0: none. Raises BlockingIOError.

    A server in maintenance by itself stays as it is, whatever becomes of the tracked one. The
    configuration has no loop of `track`.
    """
    settings = table.static(slot)
    where, admin = steady(table.slot, slot), steady(table.administration, slot)
    changed_ms = max(where.changed_ms, admin.changed_ms)
    if settings.flags & CHECKED or settings.agent >= 0:
        health = steady(table.health, slot)
        if health.incarnation == where.incarnation != 0:
            changed_ms = max(changed_ms, health.changed_ms)
    out = admin.flags & MAINT_MASK or where.flags & RMAINT or where.address is None
    if out or settings.tracked < 0:
        return changed_ms
    return max(changed_ms, last_change_ms(table, settings.tracked))
