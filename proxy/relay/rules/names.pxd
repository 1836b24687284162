# Backends by the names that formats say (`use_backend %[...]`): a hash that is made at load, and
# the few that are named at run time.
#
# At least half of its places are free. What clients send is only looked up, so that the names of
# the configuration alone decide how many places a look passes. A name that is given at run time
# stands in the segment (shm/members.pxd), in the line of the backend's first slot.

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp

from proxy.relay.state.rule_types cimport BackendName, BackendNames, Rule
from proxy.rules.coding.xxhash cimport xxh64
from proxy.rules.format cimport put_format
from proxy.rules.types cimport Context
from shm.atomics cimport fence_acquire, load_acquire, load_relaxed
from shm.members cimport LINE_OF_BACKEND, MEMBER_ADDED, STATE_BITS, MemberLine
from shm.segment cimport View
from shm.text cimport Text, text_over


cdef inline BackendName *place_of(
        const BackendNames *names, const char *bytes, size_t length) noexcept nogil:
    """The place of a name, or the free one where it would be."""
    cdef uint64_t at = xxh64(<const unsigned char *>bytes, length, 0) & names.mask
    while names.places[at].bytes != NULL and (
            names.places[at].length != length
            or memcmp(names.places[at].bytes, bytes, length) != 0):
        at = (at + 1) & names.mask
    return &names.places[at]


cdef inline bint is_named(
        const View *view, uint32_t backend, const char *bytes, size_t length) noexcept nogil:
    """Whether a spare backend has this name."""
    cdef uint32_t slot = view.backends[backend].first_slot
    cdef const MemberLine *line = &view.member_lines[slot]
    cdef uint64_t word = load_acquire(&view.member_words[slot])
    cdef bint alike
    if word & ((1 << STATE_BITS) - 1) != MEMBER_ADDED:
        return False
    alike = (
        load_relaxed(&line.length) == length + 1 and line.bytes[0] == LINE_OF_BACKEND
        and memcmp(line.bytes + 1, bytes, length) == 0)
    fence_acquire()
    return alike and load_relaxed(&view.member_words[slot]) == word


cdef inline int spare_said(
        const View *view, const BackendNames *names, const char *bytes, size_t length,
        int otherwise) noexcept nogil:
    """The index of the spare backend that has got this name; `otherwise`: none has."""
    cdef uint32_t backend
    for backend in range(names.first_spare, names.spare_end):
        if is_named(view, backend, bytes, length):
            return <int>backend
    return otherwise


cdef inline int backend_said(
        const View *view, const BackendNames *names, const Rule *rule, const Context *context,
        int otherwise) noexcept nogil:
    """The index of the backend whose name a rule's format says; `otherwise`: there is none."""
    cdef Text text = text_over(names.room, names.room_bytes)
    cdef const BackendName *found
    put_format(&text, context, rule.parts, rule.part_count)
    if text.at == text.end:  # longer than all names
        return otherwise
    found = place_of(names, text.start, text.at - text.start)
    if found.bytes == NULL:
        return spare_said(view, names, text.start, text.at - text.start, otherwise)
    return found.index
