"""Which column of the gauges a server of a segment has: that of its name, or the lowest free one.

The supervisor only, before the first fork of the segment's generation. `used` has a byte for each
column. What is a server's name, and which generations live, is the caller's affair.
"""

from libc.stdint cimport uint8_t, uint32_t

from shm.gauges cimport COLUMNS_MAX, Gauges
from shm.segment cimport NO_COLUMN, Segment

from shm.shape import GaugesFullError


def columns_none() -> bytearray:
    """No column is used."""
    return bytearray(COLUMNS_MAX)


def columns_mark(Segment segment, uint8_t[::1] used) -> None:
    """Note which columns a segment uses; none once it is closed."""
    cdef uint32_t slot, place
    if segment.view.header == NULL:
        return
    for slot in range(segment.view.header.slots):
        place = segment.view.statics[slot].column
        if place != NO_COLUMN:
            used[segment.gauges.column_at(place)] = 1


def columns_keep(
        Segment old, Segment new, const uint32_t[::1] before, const uint32_t[::1] after,
        uint8_t[::1] used) -> None:
    """Give new slots the columns that slots of another segment have; `used` are those of `new`.

    Of two that would have the same one the second gets none. A segment that is closed gives none.
    """
    cdef Py_ssize_t pair
    cdef uint32_t place, column
    if old.view.header == NULL:
        return
    for pair in range(before.shape[0]):
        if before[pair] >= old.view.header.slots or after[pair] >= new.view.header.slots:
            raise IndexError(f"slots {before[pair]}, {after[pair]}")
        place = old.view.statics[before[pair]].column
        if place == NO_COLUMN:
            continue
        column = old.gauges.column_at(place)
        if not used[column]:
            new.view.statics[after[pair]].column = place
            used[column] = 1


def columns_give(Segment segment, uint8_t[::1] used) -> None:
    """Give each slot without a column a free one.

    Raises GaugesFullError when none is left, OSError when the kernel refuses memory for more.
    """
    cdef Gauges gauges = segment.gauges
    cdef uint32_t column = 0, there = gauges.columns, slots = segment.view.header.slots
    cdef uint32_t slot
    for slot in range(slots):
        if segment.view.statics[slot].column != NO_COLUMN:
            continue
        while column < COLUMNS_MAX and used[column]:
            column += 1
        if column == COLUMNS_MAX:
            raise GaugesFullError(
                f"with these servers and those of former reloads that still serve sessions there "
                f"would be over {COLUMNS_MAX}: hard-stop-after or mworker-max-reloads end them")
        if column >= there:
            gauges.reserve(min(column + columns_missing(segment, slot), COLUMNS_MAX))
            there = gauges.columns
        segment.view.statics[slot].column = gauges.place_of(column)
        used[column] = 1


cdef uint32_t columns_missing(Segment segment, uint32_t first) noexcept:
    """How many slots from this one on have no column."""
    cdef uint32_t slot, missing = 0
    for slot in range(first, segment.view.header.slots):
        missing += segment.view.statics[slot].column == NO_COLUMN
    return missing
