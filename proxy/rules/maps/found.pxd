# Which pattern of a list a sample has. Pure.

from libc.stdint cimport uint8_t

from proxy.lists.find cimport (
    beginning, ending, expression, network_with, part, range_with, whole_text, word)
from proxy.lists.layout cimport ListHead, Record
from proxy.rules.codes cimport *
from proxy.rules.match cimport embedded, mapped
from proxy.rules.types cimport Patterns, Sample


cdef inline const Record *address_found(
        const ListHead *head, const Sample *sample) noexcept nogil:
    """The finest network of an address: as HAProxy, else one of the other family."""
    cdef uint8_t whole[16]
    cdef const uint8_t *four
    cdef const Record *found
    if sample.family == 6:
        found = network_with(head, sample.address, 16)
        four = embedded(sample.address)
        if found == NULL and four != NULL:
            found = network_with(head, four, 4)
        return found
    found = network_with(head, sample.address, 4)
    if found == NULL:
        mapped(sample.address, whole)
        found = network_with(head, whole, 16)
    return found


cdef inline const Record *pattern_found(
        const Patterns *patterns, uint8_t matcher,
        const Sample *sample) noexcept nogil:
    """The pattern of a sample that has the matcher's type; NULL: there is none."""
    cdef const ListHead *head = patterns.head
    cdef const char *text = sample.text
    if matcher == MATCH_INT:
        return range_with(head, sample.number)
    if matcher == MATCH_IP:
        return address_found(head, sample)
    if matcher == MATCH_REG:
        return expression(head, patterns.regexes, text, sample.length)
    if matcher == MATCH_STR:
        return whole_text(head, text, sample.length)
    if matcher == MATCH_BEG:
        return beginning(head, text, sample.length)
    if matcher == MATCH_END:
        return ending(head, text, sample.length)
    if matcher == MATCH_SUB:
        return part(head, text, sample.length)
    return word(head, text, sample.length, matcher == MATCH_DOM)
