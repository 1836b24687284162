# A sample against the patterns of its term (manual section 7.1). Pure.

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from proxy.rules.codes cimport *
from proxy.rules.types cimport SAMPLE_ADDRESS, SAMPLE_NUMBER, SAMPLE_TEXT, Pattern, Sample, Term


cdef inline char lowered(char letter) noexcept nogil:
    """ASCII only, as HAProxy compares."""
    return letter + 32 if c"A" <= letter <= c"Z" else letter


cdef inline bint same(
        const char *one, const char *other, size_t length, bint insensitive) noexcept nogil:
    cdef size_t at
    if not insensitive:
        return memcmp(one, other, length) == 0
    for at in range(length):
        if lowered(one[at]) != lowered(other[at]):
            return False
    return True


cdef inline bint delimits(char letter, uint8_t matcher) noexcept nogil:
    """Whether a letter stands between the words of a path, or of a host name."""
    if matcher == MATCH_DIR:
        return letter == c"/" or letter == c"?"
    return letter == c"/" or letter == c"?" or letter == c"." or letter == c":"


cdef inline bint has_word(
        const Sample *sample, const Pattern *pattern, uint8_t matcher,
        bint insensitive) noexcept nogil:
    """The pattern between delimiters; its own, at either end, count for nothing."""
    cdef const char *text = pattern.text
    cdef size_t length = pattern.length, at
    cdef bint begins = True
    while length and delimits(text[0], matcher):
        text += 1
        length -= 1
    while length and delimits(text[length - 1], matcher):
        length -= 1
    if length == 0 or length > sample.length:  # without a word there is none to be found
        return False
    for at in range(sample.length - length + 1):
        if delimits(sample.text[at], matcher):
            begins = True
            continue
        if begins and same(sample.text + at, text, length, insensitive) and (
                at + length == sample.length or delimits(sample.text[at + length], matcher)):
            return True
        begins = False
    return False


cdef inline bint has_part(
        const Sample *sample, const Pattern *pattern, bint insensitive) noexcept nogil:
    cdef size_t at
    if pattern.length > sample.length:
        return False
    for at in range(sample.length - pattern.length + 1):
        if same(sample.text + at, pattern.text, pattern.length, insensitive):
            return True
    return False


cdef inline bint text_matches(
        const Sample *sample, const Pattern *pattern, uint8_t matcher,
        bint insensitive) noexcept nogil:
    cdef size_t length = pattern.length
    if matcher == MATCH_SUB:
        return has_part(sample, pattern, insensitive)
    if matcher == MATCH_DIR or matcher == MATCH_DOM:
        return has_word(sample, pattern, matcher, insensitive)
    if length > sample.length or (
            length != sample.length and (matcher == MATCH_STR or matcher == MATCH_BIN)):
        return False
    if matcher == MATCH_END:
        return same(sample.text + sample.length - length, pattern.text, length, insensitive)
    return same(sample.text, pattern.text, length, insensitive)


cdef inline void mapped(const uint8_t *address, uint8_t family, uint8_t *out) noexcept nogil:
    """An address in 16 bytes; one of IPv4 as RFC 4291 maps it (section 2.5.5.2)."""
    if family == 6:
        memcpy(out, address, 16)
        return
    memset(out, 0, 10)
    memset(out + 10, 0xFF, 2)
    memcpy(out + 12, address, 4)


cdef inline bint address_matches(const Sample *sample, const Pattern *pattern) noexcept nogil:
    """Whether an address is of the network; both families are compared as IPv6."""
    cdef uint8_t one[16]
    cdef uint8_t other[16]
    cdef uint32_t bits = pattern.bits + (96 if pattern.family == 4 else 0)
    cdef uint32_t whole = bits // 8
    cdef uint8_t mask = <uint8_t>(0xFF << (8 - bits % 8))
    mapped(sample.address, sample.family, one)
    mapped(pattern.address, pattern.family, other)
    if memcmp(one, other, whole) != 0:
        return False
    return bits % 8 == 0 or (one[whole] & mask) == (other[whole] & mask)


cdef inline bint pattern_matches(
        const Sample *sample, const Pattern *pattern, const Term *term) noexcept nogil:
    if term.matcher == MATCH_INT:
        return pattern.low <= sample.number <= pattern.high
    if term.matcher == MATCH_LEN:
        return pattern.low <= <long long>sample.length <= pattern.high
    if term.matcher == MATCH_IP:
        return address_matches(sample, pattern)
    return text_matches(sample, pattern, term.matcher, term.insensitive)


cdef inline bint sample_matches(
        const Sample *sample, const Pattern *patterns, const Term *term) noexcept nogil:
    """Whether the sample has one of the term's patterns."""
    cdef uint32_t at
    if term.matcher == MATCH_FOUND:
        return True
    if term.matcher == MATCH_BOOL:
        return sample.number != 0
    for at in range(term.patterns):
        if pattern_matches(sample, &patterns[term.first_pattern + at], term):
            return True
    return False
