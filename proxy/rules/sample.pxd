# A sample as another type: numbers, texts and addresses become each other (manual section 7.3.1).

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memchr, memcpy, strlen

from shm.text cimport Text, put, put_number, text_over
from proxy.rules.types cimport (
    SAMPLE_ADDRESS, SAMPLE_NUMBER, SAMPLE_TEXT, SCRATCH_BYTES, Sample, Scratch)

cdef extern from "<arpa/inet.h>" nogil:
    const int AF_INET, AF_INET6
    const char *inet_ntop(int family, const void *address, char *text, unsigned int size)
    int inet_pton(int family, const char *text, void *address)

cdef enum:
    ADDRESS_TEXT_BYTES = 46  # INET6_ADDRSTRLEN


cdef inline bint set_number(Sample *sample, int64_t number) noexcept nogil:
    sample.type = SAMPLE_NUMBER
    sample.truth = False
    sample.number = number
    return True


cdef inline bint set_truth(Sample *sample, bint truth) noexcept nogil:
    set_number(sample, truth)
    sample.truth = True
    return True


cdef inline bint set_address(
        Sample *sample, uint8_t family, const uint8_t *address) noexcept nogil:
    sample.type = SAMPLE_ADDRESS
    sample.family = family
    memcpy(sample.address, address, 4 if family == 4 else 16)
    return family != 0


cdef inline void set_text(Sample *sample, const char *text, size_t length) noexcept nogil:
    sample.type = SAMPLE_TEXT
    sample.binary = False
    sample.text = text
    sample.length = length


cdef inline char *take_scratch(Scratch *scratch) noexcept nogil:
    """Room for one text; the two before live until the next but one is taken, and the next."""
    scratch.turn = (scratch.turn + 1) % 3
    return scratch.bytes[scratch.turn]


cdef inline void put_sample(Text *text, const Sample *sample) noexcept nogil:
    """A sample as text, without a flag."""
    cdef char address[ADDRESS_TEXT_BYTES]
    if sample.type == SAMPLE_NUMBER:
        put_number(text, sample.number)
    elif sample.type == SAMPLE_TEXT:
        put(text, sample.text, sample.length)
    elif inet_ntop(
            AF_INET if sample.family == 4 else AF_INET6, sample.address, address,
            sizeof(address)) != NULL:
        put(text, address, strlen(address))


cdef inline void end_at_nul(Sample *sample) noexcept nogil:
    """A NUL ends a text that is made of bytes, as in HAProxy."""
    cdef const char *end
    if sample.length != 0:
        end = <const char *>memchr(sample.text, 0, sample.length)
        if end != NULL:
            sample.length = <size_t>(end - sample.text)


cdef inline void as_plain(Sample *sample) noexcept nogil:
    """Make a text of bytes."""
    if sample.type == SAMPLE_TEXT and sample.binary:
        end_at_nul(sample)
        sample.binary = False


cdef inline bint as_text(Sample *sample, Scratch *scratch) noexcept nogil:
    """Make a text of the sample; False: there is no room to. Of bytes, those before a 0."""
    cdef Text text
    if sample.type == SAMPLE_TEXT:
        as_plain(sample)
        return True
    if scratch == NULL:
        return False
    text = text_over(take_scratch(scratch), SCRATCH_BYTES)
    put_sample(&text, sample)
    set_text(sample, text.start, text.at - text.start)
    return True


cdef inline bint as_bytes(Sample *sample, Scratch *scratch) noexcept nogil:
    """Make bytes of the sample: a number has eight, in network order; of a truth, 0 or 1."""
    cdef char *bytes
    cdef int at
    cdef uint64_t number
    if sample.type == SAMPLE_TEXT:
        return True
    if scratch == NULL:
        return False
    bytes = take_scratch(scratch)
    number = sample.number != 0 if sample.truth else <uint64_t>sample.number
    if sample.type == SAMPLE_ADDRESS:
        memcpy(bytes, sample.address, 16)
        set_text(sample, bytes, 4 if sample.family == 4 else 16)
        sample.binary = True
        return True
    for at in range(8):
        bytes[at] = <char>(number >> (56 - 8 * at) & 0xFF)
    set_text(sample, bytes, 8)
    sample.binary = True
    return True


cdef inline bint as_number(Sample *sample) noexcept nogil:
    """Make a number of the sample: of a text its first digits; nothing is no number.

    One beyond the limits is the limit.
    """
    cdef bint negative
    cdef size_t at = 0
    cdef int64_t number = 0, digit
    if sample.type == SAMPLE_NUMBER:
        return True
    if sample.type == SAMPLE_ADDRESS:
        for at in range(4):
            number = number << 8 | sample.address[at]
        return sample.family == 4 and set_number(sample, number)
    if sample.length == 0 or sample.binary:
        return False
    negative = sample.text[0] == c"-"
    if negative or sample.text[0] == c"+":
        at = 1
    while at < sample.length and c"0" <= sample.text[at] <= c"9":
        digit = sample.text[at] - c"0"
        if number > (INT64_MAX - digit) // 10:
            return set_number(sample, INT64_MIN if negative else INT64_MAX)
        number = number * 10 + digit
        at += 1
    return set_number(sample, -number if negative else number)


cdef inline bint address_in(const char *text, size_t length, uint8_t *address) noexcept nogil:
    """Read four decimal numbers with dots between; as HAProxy, whatever follows them."""
    cdef size_t at
    cdef uint32_t number = 0
    cdef int octets = 0
    cdef bint digits = False
    for at in range(length):
        if c"0" <= text[at] <= c"9":
            number = number * 10 + <uint32_t>(text[at] - c"0") if digits else text[at] - c"0"
            octets += not digits
            if number > 255 or octets > 4:
                return False
            digits = True
            address[octets - 1] = <uint8_t>number
        elif text[at] != c".":
            break
        elif not digits or octets == 4:
            return False
        else:
            digits = False
    return octets == 4


cdef inline bint as_address(Sample *sample) noexcept nogil:
    """Make an address of the sample: of a number that of IPv4, of a text what it says."""
    cdef char text[ADDRESS_TEXT_BYTES]
    cdef uint8_t address[16]
    cdef int at
    if sample.type == SAMPLE_ADDRESS:
        return True
    if sample.type == SAMPLE_NUMBER:
        for at in range(4):
            address[at] = <uint8_t>(<uint64_t>sample.number >> (24 - 8 * at) & 0xFF)
        return not sample.truth and set_address(sample, 4, address)
    if sample.binary:
        return False
    if address_in(sample.text, sample.length, address):
        return set_address(sample, 4, address)
    if sample.length >= sizeof(text):
        return False
    memcpy(text, sample.text, sample.length)
    text[sample.length] = 0
    return inet_pton(AF_INET6, text, address) == 1 and set_address(sample, 6, address)
