"""The relay's small parts as a module, and backends for them.

tests/relay/parts.pyx is compiled against the product's own files.
"""

from __future__ import annotations

from shm.segment import Segment
from shm.shape import Shape
from shm.slots import SlotTableWriter
from shm.states import StaticFlag, StaticState

_open: list[Segment] = []


def backend_with(
    weights: list[int], backups: frozenset[int] = frozenset(), ids: list[int] | None = None
) -> Segment:
    """One backend whose servers are all up; its segment is closed when the test ends."""
    segment = Segment.create(Shape(len(weights), 1, 1, 1, 1, 0, 0))
    _open.append(segment)
    writer = SlotTableWriter(segment)
    writer.lay_backend(0, 0, len(weights))
    for slot, weight in enumerate(weights):
        flags = StaticFlag.BACKUP if slot in backups else StaticFlag(0)
        number = slot + 1 if ids is None else ids[slot]
        writer.place(slot, StaticState(0, flags, weight, 0, 2, 3, number))
        writer.publish(slot, "127.0.0.1", 80, now_ms=1)
    return segment


def close_segments() -> None:
    """What `backend_with` made is unmapped."""
    while _open:
        _open.pop().close()
