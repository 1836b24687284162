"""A deletion is answered when relays have seen it, not what others write into the table after it."""

from __future__ import annotations

from typing import cast

from proxy.config.model.settings import Origin, Proxy
from proxy.control.commands.members.slots import Slots
from proxy.runtime import Bells
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import SlotTableWriter
from shm.states import Cause, StaticFlag, StaticState


class Ringing:
    """Bells at which relays look at the table at once; then others change it, and ring no more."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._others = SlotTableWriter(segment)
        self.seen = 0

    def ring_table(self) -> None:
        self.seen = self._segment.table_generation
        self._others.publish(0, "127.0.0.2", 80, cause=Cause.CONFIGURED, now_ms=2)


def test_the_bell_is_rung_after_it_is_known_what_relays_have_to_see() -> None:
    segment = Segment.create(Shape(1, 1, 1, 1, 1, 0, 0))
    table = SlotTableWriter(segment)
    table.lay_backend(0, 0, 1)
    table.place(0, StaticState(0, StaticFlag(0), 1, 0, 2, 3, 1))
    table.publish(0, "127.0.0.1", 80, cause=Cause.CONFIGURED, now_ms=1)
    backend = Proxy("be", 2, "backend", Origin(), spare_slots=1)
    bells = Ringing(segment)
    applied = Slots(segment, cast("Bells", bells), [backend]).delete(0, 0)
    assert 0 < applied.generation <= bells.seen
    segment.close()
