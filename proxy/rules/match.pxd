# A sample against the patterns of its term (manual section 7.1). Pure.

from libc.stdint cimport uint32_t, uint8_t
from libc.string cimport memcmp, memcpy, memset

from proxy.lists.find cimport expression, network_with, range_with
from proxy.lists.changing.image cimport reading_of
from proxy.lists.layout cimport Reading
from proxy.lists.lookup cimport (
    networks_have_4, networks_have_6, parts_in, ranges_have, texts_begin, texts_end, texts_have,
    texts_word)
from proxy.lists.regex cimport regexes_match
from proxy.rules.codes cimport *
from proxy.rules.sample cimport as_address, as_bytes, as_number, as_text
from proxy.rules.types cimport Patterns, Sample, Scratch, Term


cdef inline void mapped(const uint8_t *address, uint8_t *out) noexcept nogil:
    """An address of IPv4 as one of IPv6 (RFC 4291, section 2.5.5.2)."""
    memset(out, 0, 10)
    memset(out + 10, 0xFF, 2)
    memcpy(out + 12, address, 4)


cdef inline const uint8_t *embedded(const uint8_t *address) noexcept nogil:
    """The address of IPv4 in one of IPv6: mapped, compatible or 6to4; NULL: there is none."""
    cdef const char *zeros = b"\0\0\0\0\0\0\0\0"
    if address[0] == 0x20 and address[1] == 2:
        return address + 2
    if memcmp(address, zeros, 8) != 0:
        return NULL
    if memcmp(address + 8, zeros, 4) == 0 or memcmp(address + 8, b"\0\0\xff\xff", 4) == 0:
        return address + 12
    return NULL


cdef inline bint of_networks_4(Reading reading, const uint8_t *address) noexcept nogil:
    if reading.head.changing:
        return network_with(reading, address, 4) != NULL
    return networks_have_4(reading.head, address)


cdef inline bint of_networks_6(Reading reading, const uint8_t *address) noexcept nogil:
    if reading.head.changing:
        return network_with(reading, address, 16) != NULL
    return networks_have_6(reading.head, address)


cdef inline bint of_ranges(Reading reading, long long number) noexcept nogil:
    if reading.head.changing:
        return range_with(reading, number) != NULL
    return ranges_have(reading.head, number)


cdef inline bint address_matches(Reading reading, const Sample *sample) noexcept nogil:
    """Whether an address is of one of the networks: as HAProxy, also of the other family."""
    cdef uint8_t whole[16]
    cdef const uint8_t *part
    if sample.family == 6:
        part = embedded(sample.address)
        return of_networks_6(reading, sample.address) or (
            part != NULL and of_networks_4(reading, part))
    if of_networks_4(reading, sample.address):
        return True
    if not reading.head.changing and reading.head.count_6 == 0:
        return False
    mapped(sample.address, whole)
    return of_networks_6(reading, whole)


cdef inline bint text_matches(
        Reading reading, const Sample *sample, uint8_t matcher) noexcept nogil:
    cdef bint insensitive = reading.head.insensitive
    if matcher == MATCH_STR or matcher == MATCH_BIN:
        return texts_have(reading, sample.text, sample.length, insensitive)
    if matcher == MATCH_BEG:
        return texts_begin(reading, sample.text, sample.length, insensitive)
    if matcher == MATCH_END:
        return texts_end(reading, sample.text, sample.length, insensitive)
    if matcher == MATCH_SUB:
        return parts_in(reading, sample.text, sample.length, insensitive)
    return texts_word(reading, sample.text, sample.length, insensitive, matcher == MATCH_DOM)


cdef inline bint list_matches(
        const Patterns *patterns, const Sample *sample, uint8_t matcher) noexcept nogil:
    """Whether a sample of the matcher's type has a pattern of one list, as it is now."""
    cdef Reading reading = reading_of(patterns.head, &patterns.changes)
    if matcher == MATCH_REG:
        if reading.head.changing:
            return expression(reading, patterns.regexes, sample.text, sample.length) != NULL
        return regexes_match(patterns.regexes, sample.text, sample.length)
    if matcher == MATCH_INT:
        return of_ranges(reading, sample.number)
    if matcher == MATCH_LEN:
        return of_ranges(reading, <long long>sample.length)
    if matcher == MATCH_IP:
        return address_matches(reading, sample)
    return text_matches(reading, sample, matcher)


cdef inline bint suits(Sample *sample, Scratch *scratch, uint8_t matcher) noexcept nogil:
    """Make of the sample what the matcher compares; False: it cannot be."""
    if matcher == MATCH_BOOL or matcher == MATCH_INT:
        return as_number(sample)
    if matcher == MATCH_IP:
        return as_address(sample)
    if matcher == MATCH_BIN:
        return as_bytes(sample, scratch)
    return as_text(sample, scratch)


cdef inline bint sample_matches(
        Sample *sample, Scratch *scratch, const Patterns *patterns,
        const Term *term) noexcept nogil:
    """Whether the sample has one of the term's patterns; it may become another type."""
    cdef uint32_t at
    if term.matcher == MATCH_FOUND:
        return True
    if not suits(sample, scratch, term.matcher):
        return False
    if term.matcher == MATCH_BOOL:
        return sample.number != 0
    for at in range(term.list_count):
        if list_matches(&patterns[term.lists[at]], sample, term.matcher):
            return True
    return False
