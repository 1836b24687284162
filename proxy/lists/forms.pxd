# The usual forms of numbers, ranges, addresses and networks. Pure; every loop is over its bytes.

from libc.stddef cimport size_t
from libc.stdint cimport INT64_MAX, INT64_MIN, uint32_t, uint8_t
from libc.string cimport memchr, memcpy

from proxy.lists.layout cimport lowered

cdef extern from "<arpa/inet.h>" nogil:
    const int AF_INET6
    int inet_pton(int family, const char *text, void *address)

cdef enum:
    DIGITS_MAX = 18  # of a number that fits
    ADDRESS_BYTES = 64  # without its bits; a longer one is of no usual form


cdef inline size_t digits_at(const char *text, size_t length, long long *number) noexcept nogil:
    """Read a number without sign; how many digits it has, 0 for none or too many."""
    cdef size_t at = 0
    number[0] = 0
    while at < length and c"0" <= text[at] <= c"9":
        number[0] = number[0] * 10 + (text[at] - c"0")
        at += 1
        if at > DIGITS_MAX:
            return 0
    return at


cdef inline bint range_of(
        const char *text, size_t length, long long *low, long long *high) noexcept nogil:
    """One number, or `low:high`, where one of both may be missing."""
    cdef size_t before = digits_at(text, length, low), after
    high[0] = low[0]
    if before == length:
        return before != 0
    if text[before] != c":" and text[before] != c"-":
        return False
    after = digits_at(text + before + 1, length - before - 1, high)
    if before + 1 + after != length or before + after == 0:
        return False
    if before == 0:
        low[0] = INT64_MIN
    if after == 0:
        high[0] = INT64_MAX
    return low[0] <= high[0]


cdef inline bint bits_of(const char *text, size_t length, int most, int *bits) noexcept nogil:
    """What follows an address: nothing, or `/` and a number."""
    cdef long long number = most
    if length != 0:
        if text[0] != c"/" or length > 4 or digits_at(text + 1, length - 1, &number) != length - 1:
            return False
        if length == 1 or number > most:
            return False
    bits[0] = <int>number
    return True


cdef inline bint network4_of(
        const char *text, size_t length, uint32_t *address, int *bits) noexcept nogil:
    cdef size_t at = 0, digits
    cdef long long octet
    cdef int part
    address[0] = 0
    for part in range(4):
        digits = digits_at(text + at, length - at, &octet)
        if digits == 0 or octet > 255 or (digits > 1 and text[at] == c"0"):
            return False
        address[0] = address[0] << 8 | <uint32_t>octet
        at += digits
        if part < 3:
            if at == length or text[at] != c".":
                return False
            at += 1
    return bits_of(text + at, length - at, 32, bits)


cdef inline bint network6_of(
        const char *text, size_t length, uint8_t *address, int *bits) noexcept nogil:
    cdef char copied[ADDRESS_BYTES]
    cdef const char *slash = <const char *>memchr(text, c"/", length)
    cdef size_t size = length if slash == NULL else slash - text
    if size >= ADDRESS_BYTES:
        return False
    memcpy(copied, text, size)
    copied[size] = 0
    return inet_pton(AF_INET6, copied, address) == 1 and bits_of(
        text + size, length - size, 128, bits)


cdef inline int digit_of(char letter) noexcept nogil:
    """The value of a hexadecimal digit, -1 for another letter."""
    if c"0" <= letter <= c"9":
        return letter - c"0"
    letter = lowered(letter)
    return letter - c"a" + 10 if c"a" <= letter <= c"f" else -1


cdef inline bint value_is(const char *text, size_t length, bint address) noexcept nogil:
    """Whether the value of a map is a number, or an address."""
    cdef uint32_t address_4
    cdef uint8_t address_6[16]
    cdef int bits
    cdef size_t at
    if address:
        return network4_of(text, length, &address_4, &bits) or network6_of(
            text, length, address_6, &bits)
    for at in range(length):
        if not c"0" <= text[at] <= c"9" and not (at == 0 and (text[0] == c"-" or text[0] == c"+")):
            return False
    return True
