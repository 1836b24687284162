"""Regular expressions that are added to lists while the program runs: each process compiles them.

The thread that made a list's expressions compiles what control has written into its image, and
those of versions that are not in force yet; relays find the code by the order of its pattern, or
none as long as it is not compiled. Control answers an order when all have done so.
"""

import weakref

from libc.stdint cimport uint32_t, uint64_t

from proxy.lists.changing.area cimport ListArea
from proxy.lists.changing.image cimport (
    CHANGED_HEAD_BYTES, PAGE_BYTES, Group, ImageHead, first_record, next_record)
from proxy.lists.layout cimport Record, order_of
from proxy.lists.regex cimport Regexes
from shm.atomics cimport load_acquire


cdef class FollowedExpressions:
    """The expressions of one list, and how far they are compiled."""


cpdef follow(ListArea area, uint32_t number, Regexes regexes):
    """Let `compile_added` add to these what is added to a list of the area."""
    cdef FollowedExpressions made = FollowedExpressions()
    found = area.places.get(number)
    if found is None:
        return
    made.regexes = weakref.ref(regexes)
    made.reference, made.place = found
    area.followed.append(made)


cdef int compile_one(ListArea area, FollowedExpressions each, Regexes regexes, list told) except -1:
    cdef uint64_t root = load_acquire(&area.roots[each.reference])
    cdef const char *image = area.base + (root >> 32) * PAGE_BYTES
    cdef const ImageHead *head = <const ImageHead *>image
    cdef const Group *group
    cdef const Record *record
    cdef uint64_t used
    if root == each.root:
        return 0
    if root >> 32 != each.root >> 32:
        each.at = 0
    each.root = root
    used = load_acquire(&head.used)
    while each.at < used:
        group = <const Group *>(image + head.heap + each.at)
        record = first_record(group)
        for _ in range(each.place):
            record = next_record(record)
        try:
            regexes.compile(
                order_of(record), <const char *>record + CHANGED_HEAD_BYTES, record.key_length)
        except (ValueError, MemoryError) as error:  # control has compiled it, too
            told.append(f"an expression that was added is not looked for: {error}")
        each.at += group.bytes
    return 0


def compile_added(ListArea area) -> list:
    """Compile what was added since the last time; what could not be, in words.

    Call it in the thread that made the expressions, before the look (area.pyx) that says so.
    """
    told = []
    for each in tuple(area.followed):
        regexes = (<FollowedExpressions>each).regexes()
        if regexes is None:
            area.followed.remove(each)
        else:
            compile_one(area, each, regexes, told)
    return told
