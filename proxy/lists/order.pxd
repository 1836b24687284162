# Ranges and networks in order and apart from one another, so that one at most has a number.

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t
from libc.stdlib cimport qsort
from libc.string cimport memcmp, memcpy

from proxy.lists.layout cimport Network4, Network6, Range


cdef inline int by_low(const void *one, const void *other) noexcept nogil:
    cdef long long a = (<const Range *>one).low, b = (<const Range *>other).low
    return (a > b) - (a < b)


cdef inline int by_first_4(const void *one, const void *other) noexcept nogil:
    cdef uint32_t a = (<const Network4 *>one).first, b = (<const Network4 *>other).first
    return (a > b) - (a < b)


cdef inline int by_first_6(const void *one, const void *other) noexcept nogil:
    return memcmp((<const Network6 *>one).first, (<const Network6 *>other).first, 16)


cdef inline size_t ranges_apart(Range *ranges, size_t count) noexcept nogil:
    """Put them in order and join those that overlap; how many are left."""
    cdef size_t at, kept = 0
    if count > 1:
        qsort(ranges, count, sizeof(Range), by_low)
    for at in range(count):
        if kept and ranges[at].low <= ranges[kept - 1].high:
            ranges[kept - 1].high = max(ranges[kept - 1].high, ranges[at].high)
        else:
            ranges[kept] = ranges[at]
            kept += 1
    return kept


cdef inline size_t networks_apart_4(Network4 *networks, size_t count) noexcept nogil:
    cdef size_t at, kept = 0
    if count > 1:
        qsort(networks, count, sizeof(Network4), by_first_4)
    for at in range(count):
        if kept and networks[at].first <= networks[kept - 1].last:
            networks[kept - 1].last = max(networks[kept - 1].last, networks[at].last)
        else:
            networks[kept] = networks[at]
            kept += 1
    return kept


cdef inline size_t networks_apart_6(Network6 *networks, size_t count) noexcept nogil:
    cdef size_t at, kept = 0
    if count > 1:
        qsort(networks, count, sizeof(Network6), by_first_6)
    for at in range(count):
        if kept and memcmp(networks[at].first, networks[kept - 1].last, 16) <= 0:
            if memcmp(networks[at].last, networks[kept - 1].last, 16) > 0:
                memcpy(networks[kept - 1].last, networks[at].last, 16)
        else:
            networks[kept] = networks[at]
            kept += 1
    return kept
