# Reads one TLS handshake message through the records that carry it (RFC 8446, section 5.1).
#
# `begin_message` says whether all of it is there; only then the other functions may be called, and
# they stay within it. A message in one record costs one look; in several, one look at each.

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint8_t
from libc.string cimport memcpy

from proxy.rules.sample cimport set_text, take_scratch
from proxy.rules.types cimport SCRATCH_BYTES, ContentView, Sample, Scratch

cdef enum:
    RECORD_HANDSHAKE = 22
    RECORD_HEADER_BYTES = 5
    MESSAGE_HEADER_BYTES = 4
    VERSION_MAJOR = 3

cdef enum Standing:
    MESSAGE_WHOLE
    MESSAGE_SHORT  # more bytes may make it whole
    MESSAGE_NONE

cdef struct Message:
    const uint8_t *at  # the next byte
    size_t record  # how many bytes from there on are of the same record
    size_t left  # of the message


cdef inline uint32_t big_endian(const uint8_t *bytes, size_t count) noexcept nogil:
    cdef uint32_t number = 0
    cdef size_t at
    for at in range(count):
        number = number << 8 | bytes[at]
    return number


cdef inline Standing record_standing(
        const uint8_t *at, const uint8_t *end, size_t *size) noexcept nogil:
    """Whether a record of a handshake begins there; its size may be more than what is there."""
    cdef size_t there = <size_t>(end - at)
    if there == 0:
        return MESSAGE_SHORT
    if at[0] != RECORD_HANDSHAKE:
        return MESSAGE_NONE
    if there < 3:
        return MESSAGE_SHORT
    if at[1] < VERSION_MAJOR:
        return MESSAGE_NONE
    if there < RECORD_HEADER_BYTES:
        return MESSAGE_SHORT
    size[0] = big_endian(at + 3, 2)
    return MESSAGE_NONE if size[0] == 0 else MESSAGE_WHOLE  # empty ones are forbidden


cdef inline Standing has_bytes(
        const uint8_t *at, const uint8_t *end, size_t count) noexcept nogil:
    """Whether the records from there on have so many bytes of messages."""
    cdef size_t size = 0
    cdef Standing standing
    while True:
        standing = record_standing(at, end, &size)
        if standing != MESSAGE_WHOLE:
            return standing
        at += RECORD_HEADER_BYTES
        if count <= size:
            return MESSAGE_WHOLE if count <= <size_t>(end - at) else MESSAGE_SHORT
        if size > <size_t>(end - at):
            return MESSAGE_SHORT
        at += size
        count -= size


cdef inline uint32_t next_number(Message *message, size_t count) noexcept nogil:
    """The next bytes in network order; there have to be so many."""
    cdef uint32_t number = 0
    for _ in range(count):
        if message.record == 0:
            message.record = big_endian(message.at + 3, 2)
            message.at += RECORD_HEADER_BYTES
        number = number << 8 | message.at[0]
        message.at += 1
        message.record -= 1
    message.left -= count
    return number


cdef inline Standing begin_message(
        const ContentView *content, int *kind, Message *message) noexcept nogil:
    """Go to the content of the first message; `kind` is its type, -1 while it is not known."""
    cdef const uint8_t *bytes = <const uint8_t *>content.bytes
    cdef const uint8_t *end = bytes + content.length
    cdef size_t size
    cdef Standing standing
    kind[0] = -1
    standing = has_bytes(bytes, end, 1)
    if standing != MESSAGE_WHOLE:
        return standing
    kind[0] = bytes[RECORD_HEADER_BYTES]
    standing = has_bytes(bytes, end, MESSAGE_HEADER_BYTES)
    if standing != MESSAGE_WHOLE:
        return standing
    message.at = bytes
    message.record = 0
    message.left = MESSAGE_HEADER_BYTES
    next_number(message, 1)
    size = next_number(message, 3)
    message.left = size
    size += MESSAGE_HEADER_BYTES
    if content.length < RECORD_HEADER_BYTES + size:
        return MESSAGE_SHORT
    return has_bytes(bytes, end, size)


cdef inline bint take(Message *message, size_t count, uint32_t *number) noexcept nogil:
    """Read a number of so many bytes; False: the message ends before."""
    if count > message.left:
        return False
    number[0] = next_number(message, count)
    return True


cdef inline bint skip(Message *message, size_t count) noexcept nogil:
    if count > message.left:
        return False
    message.left -= count
    while count > message.record:
        count -= message.record
        message.at += message.record
        message.record = big_endian(message.at + 3, 2)
        message.at += RECORD_HEADER_BYTES
    message.at += count
    message.record -= count
    return True


cdef inline bint take_text(
        Message *message, size_t count, Scratch *scratch, Sample *sample) noexcept nogil:
    """The next bytes as a text; those of several records are joined in the scratch."""
    cdef char *joined
    cdef size_t at = 0, part
    if count > message.left:
        return False
    if count <= message.record or count == 0:
        set_text(sample, <const char *>message.at, count)
        return skip(message, count)
    if scratch == NULL or count > SCRATCH_BYTES:
        return False
    joined = take_scratch(scratch)
    while at < count:
        if message.record == 0:
            message.record = big_endian(message.at + 3, 2)
            message.at += RECORD_HEADER_BYTES
        part = min(count - at, message.record)
        memcpy(joined + at, message.at, part)
        at += part
        message.at += part
        message.record -= part
    message.left -= count
    set_text(sample, joined, count)
    return True
