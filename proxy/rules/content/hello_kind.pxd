# The type and the version of the first TLS message, of a client or a server (RFC 8446, section 5.1;
# for SSLv2 hellos RFC 5246, section E.2).

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint8_t

from proxy.rules.content.tls_message cimport (
    MESSAGE_HEADER_BYTES, MESSAGE_NONE, MESSAGE_SHORT, MESSAGE_WHOLE, RECORD_HANDSHAKE,
    RECORD_HEADER_BYTES, VERSION_MAJOR, Message, Standing, begin_message, big_endian, has_bytes,
    next_number)
from proxy.rules.sample cimport set_number
from proxy.rules.types cimport ContentView, Sample

cdef enum:
    RECORD_TYPE_FIRST = 20
    RECORD_TYPE_LAST = 23
    RECORD_TYPE_OTHER = 255  # HAProxy takes it for one, too
    TYPE_BYTES = RECORD_HEADER_BYTES + MESSAGE_HEADER_BYTES
    VERSION_BYTES = TYPE_BYTES + 2  # up to the version of a hello, from the record on
    RECORD_BYTES_MIN = 6
    RECORD_BYTES_MAX = 16384 + 2048  # RFC 5246, section 6.2.3
    WAITED_BYTES_MAX = 15360 - RECORD_HEADER_BYTES  # of a record: as many as HAProxy's buffer takes
    CLIENT_HELLO = 1
    OLD_HEADER_BYTES = 9  # of an SSLv2 hello, behind its length
    CIPHER_BYTES = 3
    SESSION_BYTES = 16
    CHALLENGE_BYTES_MIN = 16
    CHALLENGE_BYTES_MAX = 32


cdef inline bint begins_record(uint8_t kind) noexcept nogil:
    return RECORD_TYPE_FIRST <= kind <= RECORD_TYPE_LAST or kind == RECORD_TYPE_OTHER


cdef inline bint stands_for(Standing standing, Sample *sample) noexcept nogil:
    """Whether a message is whole; the sample is told if more bytes may make it so."""
    sample.unsettled = standing == MESSAGE_SHORT
    return standing == MESSAGE_WHOLE


cdef inline Standing split_standing(
        const ContentView *content, Message *message, size_t count) noexcept nogil:
    """Go to the beginning of messages in records of any size, which have so many bytes at least."""
    cdef const uint8_t *bytes = <const uint8_t *>content.bytes
    message.at = bytes
    message.record = 0
    message.left = count
    return has_bytes(bytes, bytes + content.length, count)


cdef inline bint hello_type_sample(const ContentView *content, Sample *sample) noexcept nogil:
    """The type of the first message, when all of it is there."""
    cdef const uint8_t *bytes = <const uint8_t *>content.bytes
    cdef Message message
    cdef int kind = -1
    if content.length != 0 and not begins_record(bytes[0]):
        return False
    if content.length < TYPE_BYTES:
        return stands_for(MESSAGE_SHORT, sample)
    if bytes[1] < VERSION_MAJOR:
        return False
    if bytes[0] == RECORD_HANDSHAKE:
        return (
            stands_for(begin_message(content, &kind, &message), sample)
            and set_number(sample, kind))
    if big_endian(bytes + 3, 2) < MESSAGE_HEADER_BYTES:
        return False
    if content.length < TYPE_BYTES + big_endian(bytes + 6, 3):
        return stands_for(MESSAGE_SHORT, sample)
    return set_number(sample, bytes[RECORD_HEADER_BYTES])


cdef inline bint split_version_sample(
        const ContentView *content, Sample *sample) noexcept nogil:
    """The version in a message whose first record has not even that."""
    cdef Message message
    cdef uint32_t major
    if not stands_for(split_standing(content, &message, RECORD_BYTES_MIN), sample):
        return False
    next_number(&message, MESSAGE_HEADER_BYTES)
    major = next_number(&message, 1)
    return set_number(sample, major << 16 | next_number(&message, 1))


cdef inline bint old_version_sample(
        const uint8_t *bytes, size_t length, Sample *sample) noexcept nogil:
    """The version of an SSLv2 hello, when all of it is there."""
    cdef size_t head = 2 if bytes[0] & 0x80 else 3
    cdef size_t size, ciphers, session, challenge, waited
    if length <= head:
        return stands_for(MESSAGE_SHORT, sample)
    size = big_endian(bytes, 2) & (0x7FFF if head == 2 else 0x3FFF)
    waited = 0 if head == 2 else bytes[2]  # padding
    bytes += head
    length -= head
    if bytes[0] != CLIENT_HELLO:
        return False
    if length < OLD_HEADER_BYTES:
        return stands_for(MESSAGE_SHORT, sample)
    ciphers = big_endian(bytes + 3, 2)
    session = big_endian(bytes + 5, 2)
    challenge = big_endian(bytes + 7, 2)
    if ciphers % CIPHER_BYTES != 0 or (session and session != SESSION_BYTES):
        return False
    if not CHALLENGE_BYTES_MIN <= challenge <= CHALLENGE_BYTES_MAX:
        return False
    if size != OLD_HEADER_BYTES + ciphers + session + challenge:
        return False
    waited += ciphers + session + challenge
    if length - OLD_HEADER_BYTES < min(waited, <size_t>WAITED_BYTES_MAX):
        return stands_for(MESSAGE_SHORT, sample)
    return set_number(sample, bytes[1] << 16 | bytes[2])


cdef inline bint version_sample(const ContentView *content, Sample *sample) noexcept nogil:
    """Major version times 65536 and minor, when the first record is there."""
    cdef const uint8_t *bytes = <const uint8_t *>content.bytes
    cdef size_t size
    if content.length == 0:
        return stands_for(MESSAGE_SHORT, sample)
    if not begins_record(bytes[0]):
        return old_version_sample(bytes, content.length, sample)
    if content.length < VERSION_BYTES:
        return stands_for(MESSAGE_SHORT, sample)
    size = big_endian(bytes + 3, 2)
    if bytes[1] < VERSION_MAJOR or size > RECORD_BYTES_MAX:
        return False
    if size < RECORD_BYTES_MIN:
        return bytes[0] == RECORD_HANDSHAKE and split_version_sample(content, sample)
    if content.length - RECORD_HEADER_BYTES < min(size, <size_t>WAITED_BYTES_MAX):
        return stands_for(MESSAGE_SHORT, sample)
    return set_number(sample, bytes[9] << 16 | bytes[10])
