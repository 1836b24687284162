# What the hello of a TLS client says (RFC 8446, section 4; RFC 6066, RFC 7301).
#
# As in HAProxy the whole message is waited for before anything is said of it. What it says of
# itself is believed no further than the message goes.

from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint8_t

from proxy.rules.codes cimport *
from proxy.rules.content.tls_message cimport (
    MESSAGE_SHORT, MESSAGE_WHOLE, VERSION_MAJOR, Message, Standing, begin_message, skip, take,
    take_text)
from proxy.rules.sample cimport set_number, set_text, set_truth, take_scratch
from proxy.rules.types cimport SCRATCH_BYTES, Call, ContentView, HelloMemo, Sample, Scratch

cdef enum:
    CLIENT_HELLO = 1
    HELLO_BYTES_MIN = 45  # of one with an extension: as in HAProxy
    RANDOM_BYTES = 32
    SESSION_BYTES_MAX = 32
    HOST_NAME = 0  # type of a server name
    SERVER_NAMES_BYTES_MIN = 4
    GROUP_BYTES = 2
    EXTENSION_HEADER_BYTES = 4

cdef enum:  # what is known of the name
    NAMED = 1
    NAMELESS = 2

cdef enum:  # extensions
    EXTENSION_SERVER_NAME = 0
    EXTENSION_SUPPORTED_GROUPS = 10
    EXTENSION_SIGNATURE_ALGORITHMS = 13
    EXTENSION_ALPN = 16
    EXTENSION_SESSION_TICKET = 35
    EXTENSION_KEY_SHARE = 51


cdef inline bint begin_hello(
        const ContentView *content, Message *message, Sample *sample) noexcept nogil:
    """Go behind the random of a client's hello; False: there is none, or not yet."""
    cdef int kind = -1
    cdef uint32_t major = 0, minor = 0
    cdef Standing standing = begin_message(content, &kind, message)
    if kind >= 0 and kind != CLIENT_HELLO:
        return False
    if standing != MESSAGE_WHOLE:
        sample.unsettled = standing == MESSAGE_SHORT
        return False
    if message.left < HELLO_BYTES_MIN or not take(message, 1, &major):
        return False
    if not take(message, 1, &minor) or major < VERSION_MAJOR or minor < 1:
        return False
    return skip(message, RANDOM_BYTES)


cdef inline bint begin_extensions(
        const ContentView *content, Message *message, Sample *sample) noexcept nogil:
    """Go to the extensions of a hello; where they are is found once for all rules of a look."""
    cdef HelloMemo *memo = <HelloMemo *>&content.hello  # of the view nothing else changes
    if not memo.known:
        sample.unsettled = False
        memo.begins = begin_hello(content, message, sample) and to_extensions(message)
        memo.unsettled = sample.unsettled
        if memo.begins:
            memo.at, memo.record, memo.left = message.at, message.record, message.left
        memo.known = True
    sample.unsettled = memo.unsettled
    if memo.begins:
        message.at, message.record, message.left = memo.at, memo.record, memo.left
    return memo.begins


cdef inline bint to_ciphers(Message *message, uint32_t *size) noexcept nogil:
    """Go to the cipher suites; False: the hello is malformed."""
    cdef uint32_t session = 0
    if not take(message, 1, &session) or session > SESSION_BYTES_MAX:
        return False
    return skip(message, session) and take(message, 2, size) and size[0] >= 2


cdef inline bint to_extensions(Message *message) noexcept nogil:
    """Go to the extensions, from the cipher suites' length on; nothing is left behind them."""
    cdef uint32_t size = 0
    if not to_ciphers(message, &size) or not skip(message, size):
        return False
    if not take(message, 1, &size) or size < 1 or not skip(message, size):  # compression
        return False
    if not take(message, 2, &size) or size > message.left:
        return False
    message.left = size
    return True


cdef inline bint to_extension(
        Message *message, uint32_t wanted, uint32_t *size) noexcept nogil:
    """Go to the content of the next extension of a type; False with a size: one is malformed."""
    cdef uint32_t kind = 0
    while message.left >= EXTENSION_HEADER_BYTES:
        take(message, 2, &kind)
        take(message, 2, size)
        if size[0] > message.left:
            return False
        if kind == wanted:
            return True
        skip(message, size[0])
    size[0] = 0
    return False


cdef inline bint to_server_name(Message *message) noexcept nogil:
    """Go to the first host name, and let the message end with it; False: there is none."""
    cdef uint32_t size = 0, names = 0, kind = 0, length = 0
    cdef size_t behind
    while to_extension(message, EXTENSION_SERVER_NAME, &size):
        behind = message.left - size
        if size < 2 or not take(message, 2, &names):
            return False
        if names < SERVER_NAMES_BYTES_MIN or names > size - 2:
            return False
        take(message, 1, &kind)
        take(message, 2, &length)
        if kind == HOST_NAME:
            if length > names - 3 or length > message.left:
                return False
            message.left = length
            return True
        skip(message, message.left - behind)
    return False


cdef inline bint known_name_sample(
        const ContentView *content, Message *message, Scratch *scratch,
        Sample *sample) noexcept nogil:
    """The server name, which is found once for all rules of a look."""
    cdef HelloMemo *memo = <HelloMemo *>&content.hello
    if memo.named == 0:
        memo.named = NAMED if to_server_name(message) else NAMELESS
        memo.name_at, memo.name_record, memo.name_left = (
            message.at, message.record, message.left)
    if memo.named == NAMELESS:
        return False
    message.at, message.record, message.left = memo.name_at, memo.name_record, memo.name_left
    return take_text(message, message.left, scratch, sample)


cdef inline bint next_protocol(
        Message *message, size_t names, Scratch *scratch, Sample *sample) noexcept nogil:
    """The next of ALPN's names, which have so many bytes; the sample keeps where others follow."""
    cdef uint32_t length = 0
    if names == 0 or not take(message, 1, &length) or length > names - 1:
        return False
    if not take_text(message, length, scratch, sample):
        return False
    names -= 1 + length
    sample.more = names != 0
    sample.position = <size_t>message.at
    sample.line_end = names << 16 | message.record
    return True


cdef inline bint protocol_sample(
        const ContentView *content, Scratch *scratch, Sample *sample) noexcept nogil:
    """The next name that the client has for ALPN."""
    cdef Message message
    cdef uint32_t size = 0, names = 0
    if sample.position != 0:
        message.at = <const uint8_t *>sample.position
        message.record = sample.line_end & 0xFFFF
        message.left = sample.line_end >> 16
        return next_protocol(&message, message.left, scratch, sample)
    if not begin_extensions(content, &message, sample):
        return False
    if not to_extension(&message, EXTENSION_ALPN, &size) or size < 3:
        return False
    take(&message, 2, &names)
    return next_protocol(&message, size - 2, scratch, sample)


cdef inline bint list_sample(
        Message *message, uint32_t extension, Scratch *scratch, Sample *sample) noexcept nogil:
    """The list that an extension is, without its length."""
    cdef uint32_t size = 0, length = 0
    if not to_extension(message, extension, &size) or size < 4:
        return False
    take(message, 2, &length)
    if length < 2 or length > size - 2 or not take_text(message, length, scratch, sample):
        return False
    sample.binary = True
    return True


cdef inline bint key_share_sample(
        Message *message, Scratch *scratch, Sample *sample) noexcept nogil:
    """The groups that the client has key shares of, two bytes each."""
    cdef uint32_t size = 0, shares = 0, group = 0, length = 0
    cdef char *groups
    cdef size_t at = 0
    if not to_extension(message, EXTENSION_KEY_SHARE, &size) or size < 2 or scratch == NULL:
        return False
    take(message, 2, &shares)
    message.left = min(shares, size - 2)
    groups = take_scratch(scratch)
    while at + GROUP_BYTES <= SCRATCH_BYTES and take(message, 2, &group):
        if not take(message, 2, &length) or not skip(message, length):
            return False
        groups[at] = <char>(group >> 8)
        groups[at + 1] = <char>group
        at += GROUP_BYTES
    set_text(sample, groups, at)
    sample.binary = True
    return at != 0


cdef inline bint hello_fetch(
        const ContentView *content, const Call *call, Scratch *scratch,
        Sample *sample) noexcept nogil:
    """What is in a client's hello behind its random."""
    cdef Message message
    cdef uint32_t size = 0
    cdef uint16_t what = call.fetch
    if what == FETCH_HELLO_PROTOCOLS:
        return protocol_sample(content, scratch, sample)
    if what == FETCH_HELLO_CIPHERS:
        if not begin_hello(content, &message, sample):
            return False
        if not to_ciphers(&message, &size) or not take_text(&message, size, scratch, sample):
            return False
        sample.binary = True
        return True
    if not begin_extensions(content, &message, sample):
        return False
    if what == FETCH_HELLO_SERVER_NAME:
        return known_name_sample(content, &message, scratch, sample)
    if what == FETCH_HELLO_HAS_GROUPS:
        return (
            to_extension(&message, EXTENSION_SUPPORTED_GROUPS, &size)
            and set_truth(sample, True))
    if what == FETCH_HELLO_TICKET:
        if not to_extension(&message, EXTENSION_SESSION_TICKET, &size):
            return size == 0 and set_number(sample, 0)
        return set_number(sample, 2 if size else 1)
    if what == FETCH_HELLO_GROUPS:
        return list_sample(&message, EXTENSION_SUPPORTED_GROUPS, scratch, sample)
    if what == FETCH_HELLO_SIGNATURES:
        return list_sample(&message, EXTENSION_SIGNATURE_ALGORITHMS, scratch, sample)
    return key_share_sample(&message, scratch, sample)
