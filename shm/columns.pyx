"""Which column of the gauges a server of a segment has: that of its name, or the lowest free one.

The supervisor only, before the first fork of the segment's generation. `used` has a byte for each
column. What is a server's name, and which generations live, is the caller's affair.
"""

from libc.stdint cimport uint8_t, uint32_t

from shm.gauges cimport COLUMNS_MAX
from shm.segment cimport NO_COLUMN, Segment

from shm.shape import GaugesFullError


def columns_none() -> bytearray:
    """No column is used."""
    return bytearray(COLUMNS_MAX)


def columns_mark(Segment segment, uint8_t[::1] used) -> None:
    """Note which columns a segment uses; none once it is closed."""
    cdef uint32_t slot, column
    if segment.view.header == NULL:
        return
    for slot in range(segment.view.header.slots):
        column = segment.view.statics[slot].column
        if column != NO_COLUMN:
            used[column] = 1


def columns_keep(
        Segment old, Segment new, const uint32_t[::1] before, const uint32_t[::1] after,
        uint8_t[::1] used) -> None:
    """Give new slots the columns that slots of another segment have; `used` are those of `new`.

    Of two that would have the same one the second gets none. A segment that is closed gives none.
    """
    cdef Py_ssize_t place
    cdef uint32_t column
    if old.view.header == NULL:
        return
    for place in range(before.shape[0]):
        if before[place] >= old.view.header.slots or after[place] >= new.view.header.slots:
            raise IndexError(f"slots {before[place]}, {after[place]}")
        column = old.view.statics[before[place]].column
        if column != NO_COLUMN and not used[column]:
            new.view.statics[after[place]].column = column
            used[column] = 1


def columns_give(Segment segment, uint8_t[::1] used) -> None:
    """Give each slot without a column a free one; raises GaugesFullError when none is left."""
    cdef uint32_t column = 0
    cdef uint32_t slot
    for slot in range(segment.view.header.slots):
        if segment.view.statics[slot].column != NO_COLUMN:
            continue
        while column < COLUMNS_MAX and used[column]:
            column += 1
        if column == COLUMNS_MAX:
            raise GaugesFullError(
                f"with these servers and those of former reloads that still serve sessions there "
                f"would be over {COLUMNS_MAX}: hard-stop-after or mworker-max-reloads end them")
        segment.view.statics[slot].column = column
        used[column] = 1
