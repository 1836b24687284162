# Which pattern of a list a sample has. Pure.

from libc.stdint cimport uint8_t

from proxy.lists.find cimport (
    beginning, ending, expression, network_with, part, range_with, whole_text, word)
from proxy.lists.layout cimport Reading, Record
from proxy.lists.regex cimport RegexView
from proxy.rules.codes cimport *
from proxy.rules.match cimport embedded, mapped
from proxy.rules.types cimport Sample


cdef inline const Record *address_found(
        Reading reading, const Sample *sample) noexcept nogil:
    """The finest network of an address: as HAProxy, else one of the other family."""
    cdef uint8_t whole[16]
    cdef const uint8_t *four
    cdef const Record *found
    if sample.family == 6:
        found = network_with(reading, sample.address, 16)
        four = embedded(sample.address)
        if found == NULL and four != NULL:
            found = network_with(reading, four, 4)
        return found
    found = network_with(reading, sample.address, 4)
    if found == NULL:
        mapped(sample.address, whole)
        found = network_with(reading, whole, 16)
    return found


cdef inline const Record *pattern_found(
        Reading reading, RegexView *regexes, uint8_t matcher,
        const Sample *sample) noexcept nogil:
    """The pattern of a sample that has the matcher's type; NULL: there is none."""
    cdef const char *text = sample.text
    if matcher == MATCH_INT:
        return range_with(reading, sample.number)
    if matcher == MATCH_IP:
        return address_found(reading, sample)
    if matcher == MATCH_REG or matcher == MATCH_REGM:
        return expression(reading, regexes, text, sample.length)
    if matcher == MATCH_LEN:
        return range_with(reading, <long long>sample.length)
    if matcher == MATCH_STR or matcher == MATCH_BIN:
        return whole_text(reading, text, sample.length)
    if matcher == MATCH_BEG:
        return beginning(reading, text, sample.length)
    if matcher == MATCH_END:
        return ending(reading, text, sample.length)
    if matcher == MATCH_SUB:
        return part(reading, text, sample.length)
    return word(reading, text, sample.length, matcher == MATCH_DOM)
