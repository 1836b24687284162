"""The segment of another program, which this one goes on from: its records are read, as far as both
have the same layout. Its supervisor owns it, and the gauges, which are not seen from here.
"""

import os

from libc.stdint cimport uint64_t

from shm.atomics cimport load_acquire
from shm.gauges cimport Gauges
from shm.layout cimport LAYOUT_VERSION
from shm.segment cimport Segment

from shm.segment import MAGIC, area_sizes, check_sizes, pages


def adopt_segment(int fd, shape) -> Segment:
    """Map it; the descriptor is the segment's from here on.

    No gauge of it may be asked for. Raises ValueError for another layout, OSError without memory.
    """
    check_sizes()
    offsets = []
    end = 0
    for size in area_sizes(shape):
        offsets.append(end)
        end += pages(size)
    if os.fstat(fd).st_size != end:
        raise ValueError(f"the segment has {os.fstat(fd).st_size} bytes, not {end}")
    cdef Segment segment = Segment.__new__(Segment)
    segment.shape = shape
    segment.fd = fd
    segment.bytes = end
    segment.map(offsets)
    cdef uint64_t magic = segment.view.header.magic
    if (magic != MAGIC or load_acquire(&segment.view.header.version) != LAYOUT_VERSION
            or list(segment.offsets()) != offsets):
        segment.fd = os.dup(fd)  # the caller's stays open
        segment.close()
        raise ValueError("the segment has another layout")
    segment.gauges = Gauges(1)
    segment.view.gauges = segment.gauges.header
    segment.view.sheets = segment.gauges.sheets
    return segment
