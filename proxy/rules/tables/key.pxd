# The key of a stick table that a sample makes: it becomes what the table's type is.
#
# As in HAProxy an address of IPv4 is one of IPv6 (mapped), and the other way round only where it is
# mapped; numbers are addresses of IPv4, texts are read as what is wanted.

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint8_t
from libc.string cimport memcpy

from proxy.rules.sample cimport as_bytes, as_number, as_text
from proxy.rules.types cimport SAMPLE_ADDRESS, SAMPLE_NUMBER, SAMPLE_TEXT, Sample, Scratch
from shm.tables.keys cimport Key, key_set
from shm.tables.layout cimport KEY_INTEGER, KEY_IP, KEY_IPV6, KEY_STRING, Table

cdef extern from "<arpa/inet.h>" nogil:
    const int AF_INET, AF_INET6
    int inet_pton(int family, const char *text, void *address)

cdef enum:
    ADDRESS_TEXT_MAX = 64  # longer ones are no addresses

cdef extern from * nogil:
    """
    #define MILLRACE_MAPPED "\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\xff\\xff"
    """
    const char *MAPPED "MILLRACE_MAPPED"  # the first 12 bytes of an address of IPv4 in IPv6

cdef struct TableKey:  # the bytes lie here, or where the sample has them
    Key key
    uint8_t address[16]


cdef inline bint address_of_text(Sample *sample) noexcept nogil:
    """Make an address of a text; False: it is none."""
    cdef char text[ADDRESS_TEXT_MAX]
    if sample.binary or sample.length >= sizeof(text):
        return False
    memcpy(text, sample.text, sample.length)
    text[sample.length] = 0
    sample.type = SAMPLE_ADDRESS
    sample.family = 4
    if inet_pton(AF_INET, text, sample.address) == 1:
        return True
    sample.family = 6
    return inet_pton(AF_INET6, text, sample.address) == 1


cdef inline bint as_address(Sample *sample) noexcept nogil:
    cdef int at
    if sample.type == SAMPLE_TEXT:
        return address_of_text(sample)
    if sample.type == SAMPLE_NUMBER and not sample.truth:
        for at in range(4):
            sample.address[at] = <uint8_t>(sample.number >> (24 - 8 * at))
        sample.type = SAMPLE_ADDRESS
        sample.family = 4
    return sample.type == SAMPLE_ADDRESS


cdef inline bint address_bytes(
        Sample *sample, bint wants_six, uint8_t *bytes) noexcept nogil:
    """The address as the table has it; False: it is of the other family."""
    if not as_address(sample):
        return False
    if wants_six and sample.family == 4:
        memcpy(bytes, MAPPED, 12)
        memcpy(bytes + 12, sample.address, 4)
    elif wants_six:
        memcpy(bytes, sample.address, 16)
    elif sample.family == 4:
        memcpy(bytes, sample.address, 4)
    else:
        memcpy(bytes, sample.address + 12, 4)
        return mapped(sample.address)
    return True


cdef inline bint mapped(const uint8_t *address) noexcept nogil:
    cdef int at
    for at in range(12):
        if address[at] != <uint8_t>MAPPED[at]:
            return False
    return True


cdef inline bint sample_key(
        Sample *sample, Scratch *scratch, const Table *table, TableKey *made) noexcept nogil:
    """The key that a sample, which is changed, is; False: it is none of the table's type.

    Its bytes may lie in the scratch.
    """
    cdef uint32_t number
    if table.kind == KEY_IP or table.kind == KEY_IPV6:
        if not address_bytes(sample, table.kind == KEY_IPV6, made.address):
            return False
        key_set(
            table, <const char *>made.address, 16 if table.kind == KEY_IPV6 else 4, &made.key)
        return True
    if table.kind == KEY_INTEGER:
        if not as_number(sample):
            return False
        number = <uint32_t>sample.number
        memcpy(made.address, &number, sizeof(number))
        key_set(table, <const char *>made.address, sizeof(number), &made.key)
        return True
    if table.kind == KEY_STRING:
        if not as_text(sample, scratch):
            return False
    elif not as_bytes(sample, scratch):
        return False
    key_set(table, sample.text, sample.length, &made.key)
    return True
