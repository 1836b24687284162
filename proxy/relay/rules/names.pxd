# Backends by the names that formats say (`use_backend %[...]`): a hash that is made at load.
#
# At least half of its places are free. What clients send is only looked up, so that the names of
# the configuration alone decide how many places a look passes.

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t
from libc.string cimport memcmp

from proxy.relay.state.rule_types cimport BackendName, BackendNames, Rule
from proxy.rules.coding.xxhash cimport xxh64
from proxy.rules.format cimport put_format
from proxy.rules.types cimport Context
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


cdef inline int backend_said(
        const BackendNames *names, const Rule *rule, const Context *context,
        int otherwise) noexcept nogil:
    """The index of the backend whose name a rule's format says; `otherwise`: there is none."""
    cdef Text text = text_over(names.room, names.room_bytes)
    cdef const BackendName *found
    put_format(&text, context, rule.parts, rule.part_count)
    if text.at == text.end:  # longer than all names
        return otherwise
    found = place_of(names, text.start, text.at - text.start)
    return otherwise if found.bytes == NULL else found.index
